"""DuckDB's types of raw columns in JSON and in Arrow: how a value is read, and what is valid."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class RawType:
    """The JSON form of a DuckDB type.

    Attributes:
        arrow: the Arrow type.
        noun: the expected value in words.
        range: the limits of the type itself, in words.
        parse: returns the value to store, or raises ValueError or OverflowError.
    """

    arrow: pa.DataType
    noun: str
    range: str
    parse: Callable[[object], object]


def _integer(low: int, high: int) -> Callable[[object], object]:
    def parse(value: object) -> object:
        # A bool is an int to Python; 3.0 is the number 3 to JSON.
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    return parse


def _number(largest: float) -> Callable[[object], object]:
    def parse(value: object) -> object:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError  # noqa: TRY004 - one exception for every value that does not parse
        number = float(value)
        if not math.isfinite(number) or abs(number) > largest:
            raise ValueError
        return number

    return parse


# Texts that a file may have, as DuckDB reads them; in any case.
BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


def _boolean(value: object) -> object:
    read = BOOLEANS.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(read, bool):
        raise ValueError  # noqa: TRY004 - one exception for every value that does not parse
    return read


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - one exception for every value that does not parse
    value.encode()  # raises on half a surrogate pair, which JSON can spell
    return value


def _date(value: object) -> object:
    return date.fromisoformat(str(_text(value)))


def _timestamp(value: object) -> object:
    moment = datetime.fromisoformat(str(_text(value)))
    if moment.tzinfo is not None:
        raise ValueError  # TIMESTAMP has no zone; to drop one would shift the moment
    return moment


def _integer_kind(arrow: Any, low: int, high: int) -> RawType:
    return RawType(arrow, "a whole number", f" from {low} to {high}", _integer(low, high))


def _integer_kinds() -> dict[str, RawType]:
    names = {8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT"}
    kinds = {}
    for bits, name in names.items():
        half = 2 ** (bits - 1)
        kinds[name] = _integer_kind(getattr(pa, f"int{bits}")(), -half, half - 1)
        kinds[f"U{name}"] = _integer_kind(getattr(pa, f"uint{bits}")(), 0, 2 * half - 1)
    return kinds


MAX_FLOAT = float(np.finfo(np.float32).max)
MAX_DOUBLE = float(np.finfo(np.float64).max)

# DuckDB type -> its JSON form.
KINDS: dict[str, RawType] = {
    **_integer_kinds(),
    "FLOAT": RawType(pa.float32(), "a finite number", f", at most {MAX_FLOAT:.4g}", _number(MAX_FLOAT)),
    "DOUBLE": RawType(pa.float64(), "a finite number", "", _number(MAX_DOUBLE)),
    "BOOLEAN": RawType(pa.bool_(), "true or false, or a text such as 'Yes' or 'No'", "", _boolean),
    "VARCHAR": RawType(pa.string(), "a text", "", _text),
    "DATE": RawType(pa.date32(), "a date as '2026-01-31'", "", _date),
    "TIMESTAMP": RawType(
        pa.timestamp("us"), "a date and time as '2026-01-31T12:00:00'", ", without a zone", _timestamp
    ),
}
