"""What the service may be asked: as declared, or else as it occurred."""

from __future__ import annotations

import pytest

from dagster_project.training.raw_contract import contract
from dagster_project.warehouse.connection import Warehouse
from serve.attributes import RawSchema
from serve.errors import RequestError
from tests.support import folder_of, make_table, with_experiment
from uplift_core.artifacts.bundle import RawColumn
from uplift_core.experiment.quality_limits import ColumnRule

COLUMNS = (
    "user_id bigint, recency utinyint, history double, mens utinyint, womens utinyint, newbie utinyint, "
    "zip_code varchar, channel varchar"
)
ROWS = [
    (1, 2, 30.0, 0, 1, 0, "Urban", "Web"),
    (2, 9, 90.0, 1, 0, 1, "Rural", "Phone"),
    (3, 5, 60.0, 1, 1, 0, "Rural", "Web"),
]


def columns_of(db: Warehouse, **rules: ColumnRule) -> dict[str, RawColumn]:
    folder = with_experiment(folder_of("hillstrom"), columns=rules)
    make_table(db, "raw.hillstrom", COLUMNS, ROWS)
    return {column.name: column for column in contract(db, folder)}


def test_what_occurred_is_widened_where_nothing_is_declared(db: Warehouse) -> None:
    columns = columns_of(db)
    assert (columns["recency"].low, columns["recency"].high) == (0, 16)
    assert (columns["mens"].low, columns["mens"].high) == (0, 1)
    assert columns["zip_code"].levels == ("Rural", "Urban")


def test_what_is_declared_goes_before_what_occurred(db: Warehouse) -> None:
    columns = columns_of(
        db,
        recency=ColumnRule(low=1, high=12),
        history=ColumnRule(low=-5),
        mens=ColumnRule(levels=(0, 1)),
        womens=ColumnRule(levels=(0, 1, 4)),
        zip_code=ColumnRule(levels=("Rural", "Surburban", "Urban")),
    )
    assert (columns["recency"].low, columns["recency"].high) == (1, 12)
    assert (columns["history"].low, columns["history"].high) == (-5, 150)
    assert (columns["mens"].low, columns["mens"].high, columns["mens"].levels) == (0, 1, None)
    assert columns["womens"].levels == (0, 1, 4)
    assert columns["zip_code"].levels == ("Rural", "Surburban", "Urban")
    assert columns["channel"].levels == ("Phone", "Web")


def test_numbers_between_declared_ones_are_refused(db: Warehouse) -> None:
    column = columns_of(db, womens=ColumnRule(levels=(0, 1, 4)))["womens"]
    written = RawColumn.model_validate_json(column.model_dump_json())
    schema = RawSchema.of("trial", [written])
    assert schema.rows([{"womens": 4.0}])["womens"] == [4]
    with pytest.raises(
        RequestError, match="must be a whole number, one of the known categories: 0, 1, 4"
    ):
        schema.rows([{"womens": 3}])
    arrow = schema.table([schema.rows([{"womens": v} for v in (0, None, 4)])]).select(["womens"])
    assert schema.arrow(arrow)["womens"].to_pylist() == [0, None, 4]
    wrong = arrow.set_column(0, "womens", [[0, 3, 9]])
    with pytest.raises(RequestError, match=r"rows\[1\]\.womens = 3: .*of 1 more"):
        schema.arrow(wrong)
