"""A file whose rows moved is refused where row numbers are the users' ids."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from dagster_project.inputs.row_numbers import refuse_moved_rows, remember_rows
from dagster_project.warehouse.connection import Warehouse
from tests.support import folder_of
from uplift_core.errors import DataError

HILLSTROM = folder_of("hillstrom")
ROWS = 400


def file_of(people: list[int], *, visit: int = 0) -> pa.Table:
    """Return the raw rows of these people, numbered in their order."""
    size = len(people)
    return pa.table(
        {
            "user_id": np.arange(1, size + 1),
            "history": [person * 1.25 for person in people],
            "zip_code": ["Urban"] * size,
            **dict.fromkeys(("visit", "conversion", "spend"), [visit] * size),
        }
    )


def load(db: Warehouse, people: list[int], *, visit: int = 0) -> None:
    with db.relation("given", file_of(people, visit=visit)):
        db.rows("create or replace table raw.hillstrom as from given")


def suppress_somebody(db: Warehouse) -> None:
    db.rows("insert into decisions.suppressions values ('hillstrom', 17, 'unsubscribed', null)")


def load_again(db: Warehouse, people: list[int], *, visit: int = 0) -> None:
    last = remember_rows(db, HILLSTROM)
    load(db, people, visit=visit)
    refuse_moved_rows(db, HILLSTROM, last)


PEOPLE = list(range(ROWS))
SHUFFLED = np.random.default_rng(1).permutation(ROWS).tolist()


@pytest.mark.parametrize(
    ("people", "message"),
    [
        (PEOPLE[:-1], "the file has 399 rows, and had 400"),
        (PEOPLE[:100] + PEOPLE[101:], "the file has 399 rows, and had 400"),
        (PEOPLE[:390] + PEOPLE[391:] + [ROWS], "1 place up"),
        ([*PEOPLE[:9], ROWS, ROWS + 1, *PEOPLE[9:]], "2 places down"),
        (SHUFFLED, "rows of the file moved"),
    ],
    ids=["lost at the end", "lost", "replaced at the end", "gained before the end", "other order"],
)
def test_lists_do_not_go_over_to_other_users(db: Warehouse, people: list[int], message: str) -> None:
    load(db, PEOPLE)
    suppress_somebody(db)
    with pytest.raises(DataError, match=message) as refused:
        load_again(db, people)
    assert "append new lines at its end" in str(refused.value)


@pytest.mark.parametrize(
    ("people", "visit"),
    [
        (PEOPLE, 0),
        (PEOPLE, 1),
        ([*PEOPLE, ROWS, ROWS + 1], 0),
        ([person + 1_000 for person in PEOPLE], 0),
    ],
    ids=["equal", "outcomes measured again", "appended", "all attributes renewed"],
)
def test_rows_that_stay_are_read(db: Warehouse, people: list[int], visit: int) -> None:
    load(db, PEOPLE)
    suppress_somebody(db)
    load_again(db, people, visit=visit)
    assert db.one("select count(*) from raw.hillstrom") == (len(people),)


def test_nothing_is_compared_before_something_was_decided(db: Warehouse) -> None:
    load(db, PEOPLE)
    load_again(db, PEOPLE[:-1])
    assert remember_rows(db, HILLSTROM) == 0


def test_of_many_rows_a_sample_is_compared(db: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagster_project.inputs.row_numbers.SAMPLE", ROWS // 4)
    load(db, PEOPLE)
    suppress_somebody(db)
    remember_rows(db, HILLSTROM)
    (sampled,) = db.one("select count(*) from rows_before")
    assert 0 < sampled < ROWS // 2
    with pytest.raises(DataError, match="1 place down"):
        load_again(db, [ROWS, *PEOPLE])
