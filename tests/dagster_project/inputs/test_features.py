"""The columns of features are checked and registered."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.features import check_features
from dagster_project.warehouse.connection import Warehouse
from tests.support import folder_of, make_table
from uplift_core.errors import ExperimentError
from uplift_core.experiment.declaration import FEATURES_SQL, RAW_SQL

RAW = "user_id bigint, recency double, segment varchar, visit integer, conversion integer, spend double"
GOOD = [
    (1, 3.0, "No E-Mail", 0, 0, 0.0),
    (2, 1.0, "Womens E-Mail", 1, 1, 29.99),
    (3, 9.0, "Mens E-Mail", 1, 0, 0.0),
    (4, 2.0, "No E-Mail", 0, 0, 0.0),
]
POSITION = {"user_id": 0, "recency": 1, "segment": 2, "visit": 3, "conversion": 4, "spend": 5}


def load(db: Warehouse, **changes: object) -> BatchExperiment:
    """Write raw rows into the warehouse; ``column_user=value`` replaces one value."""
    rows = [list(row) for row in GOOD]
    for key, value in changes.items():
        column, _, user = key.rpartition("_")
        rows[int(user) - 1][POSITION[column]] = value
    make_table(db, "raw.hillstrom", RAW, rows)
    return folder_of("hillstrom")


@pytest.fixture
def two_features(tmp_path: Path) -> BatchExperiment:
    """Return Hillstrom with two features."""
    home = tmp_path / "hillstrom"
    home.mkdir()
    (home / RAW_SQL).touch()
    text = "select user_id, recency::float as recency, -- months\n1::float as one from raw.hillstrom"
    (home / FEATURES_SQL).write_text(text)
    return BatchExperiment.read(folder_of("hillstrom").declaration, home)


def with_features(
    db: Warehouse, rows: list[tuple], columns: str = "user_id bigint, recency float, one float"
) -> None:
    load(db)
    make_table(db, "features.hillstrom", columns, rows)


def test_the_registry_describes_each_feature_in_order(
    db: Warehouse, two_features: BatchExperiment
) -> None:
    with_features(db, [(i, float(i), None) for i in range(1, 5)])
    rows = check_features(db, two_features).to_pylist()
    assert [(r["position"], r["name"], r["type"], r["description"]) for r in rows] == [
        (1, "recency", "FLOAT", "months"),
        (2, "one", "FLOAT", ""),
    ]
    assert {r["sql_file"] for r in rows} == {"hillstrom/features.sql"}


def test_nan_and_null_are_missing_values(db: Warehouse, two_features: BatchExperiment) -> None:
    with_features(db, [(1, math.nan, 1.0), (2, None, 1.0), (3, 0.0, 1.0), (4, 0.0, 1.0)])
    assert check_features(db, two_features).num_rows == 2


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
    ],
)
def test_a_table_that_is_not_of_floats_is_refused(
    db: Warehouse, two_features: BatchExperiment, columns: str, rows: list[tuple], fault: str
) -> None:
    with_features(db, rows, columns)
    with pytest.raises(ExperimentError, match=fault):
        check_features(db, two_features)
