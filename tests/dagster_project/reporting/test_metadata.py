"""The metadata that a materialization shows."""

from __future__ import annotations

from dagster_project.reporting.markdown import markdown_table
from dagster_project.reporting.metadata import describe_table
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from tests.support import make_table


def test_a_markdown_table_survives_its_values() -> None:
    assert markdown_table(["a", "b"], [("x|y", 1 / 3), (None, 2)]).splitlines() == [
        "| a | b |",
        "|---|---|",
        "| x\\|y | 0.333333 |",
        "| None | 2 |",
    ]


def test_a_table_is_described_by_rows_columns_preview_and_sql(db: Warehouse) -> None:
    make_table(db, "raw.toy", "a integer, b varchar", [(i, f"text {i}") for i in range(9)])
    metadata = describe_table(db, Identifier.of("raw", "toy"), "select 1")
    assert metadata["dagster/row_count"].value == 9
    columns = [(c.name, c.type) for c in metadata["dagster/column_schema"].value.columns]
    assert columns == [("a", "INTEGER"), ("b", "VARCHAR")]
    assert metadata["table"].value == "raw.toy"
    assert len(metadata["preview"].value.splitlines()) == 2 + 5
    assert "select 1" in metadata["sql"].value


def test_rows_of_others_are_not_counted(db: Warehouse) -> None:
    make_table(db, "raw.toy", "experiment varchar, b integer", [("mine", 1), ("other", 2), ("mine", 3)])
    metadata = describe_table(db, Identifier.of("raw", "toy"), experiment="mine")
    assert metadata["dagster/row_count"].value == 2
    assert "other" not in metadata["preview"].value
