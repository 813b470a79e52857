"""Lineage follows the SQL through functions, stars and renamed columns."""

from __future__ import annotations

from unittest import mock

import dagster as dg

from dagster_project.inputs.assignment import assignment_query
from dagster_project.reporting import lineage
from dagster_project.reporting.lineage import LINEAGE, column_lineage
from dagster_project.warehouse.connection import Warehouse
from tests.support import folder_of, make_table

RAW = (
    "user_id bigint, recency double, history double, mens int, womens int, zip_code varchar, "
    "newbie int, channel varchar, segment varchar, visit int, conversion int, spend double"
)
SOURCE = {"raw.hillstrom": dg.AssetKey(["hillstrom", "raw"])}


def reads(metadata: dict[str, dg.MetadataValue]) -> dict[str, set[str]]:
    """Return the columns that each column reads."""
    columns = metadata[LINEAGE].value.deps_by_column
    return {name: {dep.column_name for dep in deps} for name, deps in columns.items()}


def test_features_and_assignment(db: Warehouse) -> None:
    make_table(db, "raw.hillstrom", RAW, [])
    experiment = folder_of("hillstrom")
    features = reads(column_lineage(db, experiment.features_sql.text, SOURCE))
    assert features["zip_urban"] == {"zip_code"}
    assert features["channel_web"] == features["channel_phone"] == {"channel"}
    sql, _ = assignment_query(experiment)
    assignment = reads(column_lineage(db, sql, SOURCE))
    assert assignment["arm"] == {"segment"}
    assert assignment["split"] == assignment["fold"] == {"user_id"}


def test_all_columns_are_followed_at_once(db: Warehouse) -> None:
    make_table(db, "raw.hillstrom", RAW, [])
    items = ", ".join(f"history * {i} + recency as f{i}" for i in range(40))
    sql = f"with users as (from raw.hillstrom) select user_id, {items} from users"
    with mock.patch(f"{lineage.__name__}.lineage", wraps=lineage.lineage) as followed:
        columns = reads(column_lineage(db, sql, SOURCE))
    assert columns["f39"] == {"history", "recency"}
    assert len(columns) == 41
    followed.assert_called_once()


def test_sql_that_cannot_be_followed_has_none(db: Warehouse) -> None:
    make_table(db, "raw.hillstrom", RAW, [])
    assert column_lineage(db, "select from where", SOURCE) == {}
