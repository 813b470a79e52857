"""The ledger's newest nights, which publishing reads every night."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from dagster_project.decisions.ledger import NEVER, first_of_last
from dagster_project.warehouse.connection import Warehouse
from tests.support import opened
from uplift_core.artifacts.home import Home

NIGHTS = 300


@pytest.fixture
def db(home: Home) -> Iterator[Warehouse]:
    """A warehouse with a ledger of many nights."""
    with opened(home) as db:
        db.rows("create temporary table list as from decisions.treat_list")
        db.rows("delete from decisions.treat_list")
        db.rows(
            "insert into decisions.treat_list by name select list.* replace ("
            "date '2020-01-01' + night::int as decision_date) "
            "from list, range($nights) as nights(night) order by night",
            {"nights": NIGHTS},
        )
        yield db


def test_the_last_nights_begin_with_the_earlier_one_of_two(db: Warehouse) -> None:
    (database,) = db.one("select current_database()")
    assert first_of_last(db, database, "simulated", 1) == "2020-10-26"
    assert first_of_last(db, database, "simulated", 2) == "2020-10-25"
    assert first_of_last(db, database, "simulated", NIGHTS + 9) == "2020-01-01"
    assert first_of_last(db, database, "another", 2) == NEVER


def test_the_search_for_the_last_nights_reads_no_others(
    db: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a table of some twenty row groups, few are read: not those of the nights before."""
    (database,) = db.one("select current_database()")
    rows, searched = Warehouse.rows, list[tuple[str, Mapping[str, object]]]()

    def recorded(self: Warehouse, sql: str, binds: Mapping[str, object] = {}) -> list[tuple]:
        searched.append((sql, binds))
        return rows(self, sql, binds)

    with monkeypatch.context() as patch:
        patch.setattr(Warehouse, "rows", recorded)
        first_of_last(db, database, "simulated", 2)
    scanned = [rows_scanned(db, *search) for search in searched if '"treat_list"' in search[0]]
    (total,) = db.one("select count(*) from decisions.treat_list")
    assert len(scanned) == 2
    assert total > 1_000_000
    assert 0 < sum(scanned) < total / 4


def rows_scanned(db: Warehouse, sql: str, binds: Mapping[str, object]) -> int:
    ((_, plan),) = db.rows(f"explain (analyze, format json) {sql}", binds)
    return sum(node.get("rows_scanned", 0) for node in _nodes(json.loads(plan)["operator"]))


def _nodes(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        yield node
        yield from _nodes(node.get("children", []))
