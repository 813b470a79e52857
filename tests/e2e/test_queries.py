"""The documented queries run as they stand, and say what the tables say."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from dagster_project.settings import REPOSITORY
from tests.support import Open

PAGE = (REPOSITORY / "docs" / "queries.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"\*\*(\d+)\. .*?```sql\n(.*?)```", PAGE, flags=re.DOTALL)
MAY_BE_EMPTY = {"8", "10"}


@pytest.fixture
def con(hillstrom_home: Path, snapshot: Open) -> duckdb.DuckDBPyConnection:
    """What is published of Hillstrom."""
    return snapshot(hillstrom_home)


def answer(con: duckdb.DuckDBPyConnection, number: str) -> list[tuple]:
    return con.execute(dict(QUERIES)[number]).fetchall()


def test_there_are_ten() -> None:
    assert [number for number, _ in QUERIES] == [str(i) for i in range(1, 11)]


@pytest.mark.parametrize("number", [number for number, _ in QUERIES])
def test_every_query_answers(con: duckdb.DuckDBPyConnection, number: str) -> None:
    assert answer(con, number) or number in MAY_BE_EMPTY


def test_persuadables_are_a_tenth_of_the_users(con: duckdb.DuckDBPyConnection) -> None:
    (first, *_), (others, *_) = answer(con, "1")
    assert (first, others) == (True, False)
    sizes = [row[1] for row in answer(con, "1")]
    assert sum(sizes) == 64_000
    assert 0.09 < sizes[0] / 64_000 < 0.12  # ties enter together


def test_deciles_are_ten_and_hold_all_held_out_users(con: duckdb.DuckDBPyConnection) -> None:
    rows = answer(con, "2")
    held_out = "select count(*) from assignment.hillstrom where split = 'holdout' and arm <> 'mens'"
    assert [row[0] for row in rows] == list(range(1, 11))
    assert sum(row[1] for row in rows) == pytest.approx(con.execute(held_out).fetchone()[0], abs=10)


def test_five_percent_more_budget_adds_about_five_percent(con: duckdb.DuckDBPyConnection) -> None:
    assert len(answer(con, "6")) == pytest.approx(0.05 * 64_000, rel=0.2)


def test_a_user_has_one_row_a_list(con: duckdb.DuckDBPyConnection) -> None:
    assert len(answer(con, "9")) == 1
