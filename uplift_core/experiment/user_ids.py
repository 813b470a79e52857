"""How users' ids in files become ``user_id``, a whole number of 63 bits."""

from __future__ import annotations

import hashlib
import re

from uplift_core.experiment.declaration import Experiment

MOST = 2**63 - 1  # of a BIGINT
DIGITS = re.compile("0|[1-9][0-9]{0,18}")


def number_of_text(text: str) -> int:
    """Return the ``user_id`` of an id that is a text: 63 bits of its md5, as raw.sql takes them."""
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[8:], "little") >> 1


def number_in(text: str) -> int | None:
    """Return the ``user_id`` that a text of digits names; None if it names none."""
    number = int(text) if DIGITS.fullmatch(text) else MOST + 1
    return number if number <= MOST else None


def numbers_by(experiment: Experiment, text: str) -> set[int]:
    """Return the values of ``user_id`` that a user of a later file may have by this id.

    Digits may be read as a number or as a text; each stands for nobody else. A row has no id before it
    is there.
    """
    if experiment.has_row_numbers:
        return set()
    number = number_in(text)
    numbers = set() if number is None else {number}
    return numbers | {number_of_text(text)} if experiment.id_column else numbers
