"""What is wrong with a file is said by column, value, user and remedy."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dagster_project.assets.inputs import check_features, check_raw
from dagster_project.folders import ExperimentFolder
from dagster_project.warehouse import Warehouse
from tests.support import folder_of, make_table
from uplift_core.errors import DataError, ExperimentError
from uplift_core.experiment import FEATURES_SQL, RAW_SQL

RAW = "user_id bigint, recency double, segment varchar, visit integer, conversion integer, spend double"
GOOD = [
    (1, 3.0, "No E-Mail", 0, 0, 0.0),
    (2, 1.0, "Womens E-Mail", 1, 1, 29.99),
    (3, 9.0, "Mens E-Mail", 1, 0, 0.0),
    (4, 2.0, "No E-Mail", 0, 0, 0.0),
]
POSITION = {"user_id": 0, "recency": 1, "segment": 2, "visit": 3, "conversion": 4, "spend": 5}


def load(db: Warehouse, **changes: object) -> ExperimentFolder:
    """Raw rows in the warehouse; ``column_user=value`` replaces one value."""
    rows = [list(row) for row in GOOD]
    for key, value in changes.items():
        column, _, user = key.rpartition("_")
        rows[int(user) - 1][POSITION[column]] = value
    make_table(db, "raw.hillstrom", RAW, rows)
    return folder_of("hillstrom")


def test_good_rows_pass(db: Warehouse) -> None:
    check_raw(db, load(db))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"visit_2": 2}, ["'visit'", "holds 2 at user_id 2", "0 more rows", "0 or 1"]),
        ({"visit_4": -1, "visit_3": 2}, ["'visit'", "holds 2 at user_id 3", "1 more rows"]),
        ({"conversion_1": None}, ["'conversion'", "at user_id 1", "0 or 1"]),
        ({"spend_3": math.nan}, ["'spend'", "nan at user_id 3", "a finite number"]),
        ({"spend_3": -math.inf}, ["'spend'", "-inf at user_id 3", "a finite number"]),
        ({"spend_2": None}, ["'spend'", "at user_id 2", "a finite number"]),
        (
            {"segment_2": "Kids E-Mail"},
            ["'segment'", "Kids E-Mail at user_id 2", "one of", "'Mens E-Mail'"],
        ),
        ({"segment_3": "no e-mail"}, ["'segment'", "no e-mail at user_id 3"]),
        ({"segment_1": None}, ["'segment'", "at user_id 1", "one of"]),
        ({"user_id_3": 2, "user_id_4": 2}, ["'user_id'", "repeats 2 times"]),
    ],
)
def test_bad_rows_are_refused_by_name(
    db: Warehouse, changes: dict[str, object], words: list[str]
) -> None:
    folder = load(db, **changes)
    with pytest.raises(DataError) as caught:
        check_raw(db, folder)
    message = str(caught.value)
    assert message.startswith("hillstrom: ")
    assert [word for word in words if word not in message] == []


def test_any_finite_number_is_a_continuous_outcome(db: Warehouse) -> None:
    check_raw(db, load(db, spend_1=-3.5, spend_2=1e9))


def test_a_missing_first_value_is_still_told(db: Warehouse) -> None:
    """A null must not be passed over for a later value in the message."""
    folder = load(db, visit_1=None, visit_3=7)
    with pytest.raises(DataError, match="holds None at user_id 1 and 1 more rows"):
        check_raw(db, folder)


def test_an_empty_file_is_refused(db: Warehouse) -> None:
    make_table(db, "raw.hillstrom", RAW, [])
    with pytest.raises(DataError, match="the source file holds no rows"):
        check_raw(db, folder_of("hillstrom"))


@pytest.fixture
def two_features(tmp_path: Path) -> ExperimentFolder:
    """Hillstrom with two features."""
    home = tmp_path / "hillstrom"
    home.mkdir()
    (home / RAW_SQL).touch()
    text = "select user_id, recency::float as recency, -- months\n1::float as one from raw.hillstrom"
    (home / FEATURES_SQL).write_text(text)
    return ExperimentFolder.read(folder_of("hillstrom").experiment, home)


def with_features(
    db: Warehouse, rows: list[tuple], columns: str = "user_id bigint, recency float, one float"
) -> None:
    load(db)
    make_table(db, "features.hillstrom", columns, rows)


def test_the_registry_describes_each_feature_in_order(
    db: Warehouse, two_features: ExperimentFolder
) -> None:
    with_features(db, [(i, float(i), None) for i in range(1, 5)])
    rows = check_features(db, two_features).to_pylist()
    assert [(r["position"], r["name"], r["type"], r["description"]) for r in rows] == [
        (1, "recency", "FLOAT", "months"),
        (2, "one", "FLOAT", ""),
    ]
    assert {r["sql_file"] for r in rows} == {"hillstrom/features.sql"}


def test_nan_and_null_are_missing_values(db: Warehouse, two_features: ExperimentFolder) -> None:
    with_features(db, [(1, math.nan, 1.0), (2, None, 1.0), (3, 0.0, 1.0), (4, 0.0, 1.0)])
    assert check_features(db, two_features).num_rows == 2


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_feature_is_refused(
    db: Warehouse, two_features: ExperimentFolder, value: float
) -> None:
    with_features(db, [(1, 0.0, 1.0), (2, 0.0, 1.0), (3, value, 1.0), (4, value, 1.0)])
    fault = f"column 'recency' holds {value} at user_id 3 and 1 more rows that are not finite or NaN"
    with pytest.raises(DataError, match=fault):
        check_features(db, two_features)


@pytest.mark.parametrize(
    ("columns", "rows", "fault"),
    [
        (
            "user_id bigint, recency float, one double",
            [(1, 1, 1)],
            r"FLOAT features, not {'one': 'DOUBLE'}",
        ),
        ("user_id integer, recency float, one float", [(1, 1, 1)], "user_id as BIGINT"),
        ("id bigint, recency float, one float", [(1, 1, 1)], "user_id as BIGINT"),
        ("user_id bigint", [(1,)], "must yield FLOAT features"),
        ("user_id bigint, recency float", [(1, 1)], "yields 1 rows of 1 users for 4 raw rows"),
        (
            "user_id bigint, recency float",
            [(1, 1), (2, 1), (3, 1), (3, 1)],
            "yields 4 rows of 3 users for 4 raw rows",
        ),
        ("user_id bigint, recency float", [(i % 4 + 1, 1) for i in range(8)], "8 rows of 4 users"),
    ],
)
def test_a_table_that_is_not_one_row_a_user_of_floats_is_refused(
    db: Warehouse, two_features: ExperimentFolder, columns: str, rows: list[tuple], fault: str
) -> None:
    with_features(db, rows, columns)
    with pytest.raises(ExperimentError, match=fault):
        check_features(db, two_features)
