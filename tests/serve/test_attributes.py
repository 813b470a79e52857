from __future__ import annotations

from datetime import date, datetime

import duckdb
import pyarrow as pa
import pytest

from serve.attributes import RawSchema
from serve.errors import RequestError
from serve.raw_types import KINDS
from uplift_core.artifacts.bundle import RawColumn
from uplift_core.errors import BundleError


def schema_of(*types: str) -> RawSchema:
    return RawSchema.of("trial", [RawColumn(name=f"c{i}", type=t) for i, t in enumerate(types)])


def table_of(type_: str, value: object) -> pa.Table:
    schema = schema_of(type_)
    return schema.table([schema.rows([{"c0": value}])])


def stored(type_: str, value: object) -> object:
    return table_of(type_, value).column("c0")[0].as_py()


@pytest.mark.parametrize("type_", sorted(KINDS))
def test_duckdb_sees_the_declared_type_and_null(type_: str) -> None:
    with duckdb.connect() as con:
        con.register("rows", table_of(type_, None))
        assert con.sql("select typeof(c0), c0 is null, user_id from rows").fetchall() == [
            (type_, True, 0)
        ]
        con.register("none", schema_of(type_).empty())
        assert con.sql("select count(*) from none").fetchall() == [(0,)]


@pytest.mark.parametrize("type_", [t for t in sorted(KINDS) if "INT" in t])
def test_whole_numbers_are_those_that_duckdb_can_hold(type_: str) -> None:
    with duckdb.connect() as con:
        ((width,),) = con.sql(f"select bit_length((0::{type_})::bit::varchar) // 8").fetchall()
    low, high = (0, 2**width - 1) if type_[0] == "U" else (-(2 ** (width - 1)), 2 ** (width - 1) - 1)
    assert stored(type_, low) == low
    assert stored(type_, high) == high
    for outside in (low - 1, high + 1):
        with pytest.raises(RequestError, match=f"from {low} to {high}"):
            stored(type_, outside)
    assert stored(type_, 3.0) == 3


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("DOUBLE", 3, 3.0),
        ("DOUBLE", 0.1, 0.1),
        ("FLOAT", 0.5, 0.5),
        ("BOOLEAN", True, True),
        ("BOOLEAN", "Yes", True),  # as a file may write it, and DuckDB reads it
        ("BOOLEAN", "n", False),
        ("BOOLEAN", "FALSE", False),
        ("VARCHAR", "Zürich", "Zürich"),
        ("VARCHAR", "", ""),
        ("DATE", "2026-01-31", date(2026, 1, 31)),
        ("TIMESTAMP", "2026-01-31T12:30:00", datetime(2026, 1, 31, 12, 30)),  # noqa: DTZ001
    ],
)
def test_values_are_taken_as_they_are(type_: str, value: object, expected: object) -> None:
    assert stored(type_, value) == expected


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("FLOAT", 3.5e38),
        ("FLOAT", float("nan")),
        ("DOUBLE", float("inf")),
        ("BOOLEAN", 1),
        ("BOOLEAN", "perhaps"),
        ("BOOLEAN", "on"),
        ("VARCHAR", 1),
        ("VARCHAR", "\ud800"),
        ("DATE", "31.01.2026"),
        ("DATE", 20260131),
        ("TIMESTAMP", "2026-01-31T12:30:00+02:00"),
        ("TIMESTAMP", "noon"),
        ("INTEGER", False),
        ("INTEGER", 1e300),
        ("INTEGER", float("nan")),
    ],
)
def test_values_are_never_bent(type_: str, value: object) -> None:
    with pytest.raises(RequestError, match=r"^attributes\.c0 = .*: must be "):
        stored(type_, value)


def test_a_type_without_a_json_form_is_refused() -> None:
    with pytest.raises(BundleError, match=r"'c1' is HUGEINT.*raw\.sql"):
        schema_of("DOUBLE", "HUGEINT")
