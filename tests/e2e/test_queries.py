"""The documented queries run as they stand, and say what the tables say."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from dagster_project.settings import REPOSITORY
from tests.support import Open
from uplift_core.artifacts.publication import read_pointer

PAGE = (REPOSITORY / "docs" / "queries.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"\*\*(\d+)\. .*?```sql\n(.*?)```", PAGE, flags=re.DOTALL)
MAY_BE_EMPTY = {"8", "10"}


@pytest.fixture
def con(hillstrom_home: Path, snapshot: Open) -> duckdb.DuckDBPyConnection:
    """What is published of Hillstrom."""
    return snapshot(hillstrom_home)


def answer(con: duckdb.DuckDBPyConnection, number: str) -> list[tuple]:
    return con.execute(dict(QUERIES)[number]).fetchall()


def test_there_are_eleven() -> None:
    assert [number for number, _ in QUERIES] == [str(i) for i in range(1, 12)]


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
    assert [row[1] for row in rows] == list(range(1, 11))
    assert sum(row[2] for row in rows) == pytest.approx(con.execute(held_out).fetchone()[0], abs=10)


TABLES = ("2", "4", "5")  # questions of an evaluation table, whose first column is the learner


@pytest.fixture(params=["t", "dr"])
def another(
    hillstrom_home: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """A copy of what is published, and a learner that decided the last list though it is no champion."""
    published = hillstrom_home / "published"
    copy = tmp_path / "snapshot.duckdb"
    shutil.copyfile(published / read_pointer(published).file, copy)
    with duckdb.connect(str(copy)) as con:
        con.execute("update decisions.nights set learner = $learner", {"learner": request.param})
        yield con, request.param


def expected_shares(con: duckdb.DuckDBPyConnection, learner: str) -> list[tuple]:
    """Question 1 by plain SQL: users in the first tenth by one learner, and all others."""
    return con.execute(
        "select first, count(*) from (select percent_rank() over (order by "
        f"cate_{learner} desc) < 0.1 as first from scores.hillstrom where arm = 'womens') "
        "group by first order by first desc"
    ).fetchall()


def test_the_learner_that_decides_is_looked_up(another: tuple[duckdb.DuckDBPyConnection, str]) -> None:
    con, learner = another
    for number in TABLES:
        assert {row[0] for row in answer(con, number)} == {learner}
    assert [row[:2] for row in answer(con, "1")] == expected_shares(con, learner)


def test_where_no_list_was_made_the_champion_is_looked_up(
    another: tuple[duckdb.DuckDBPyConnection, str],
) -> None:
    con, learner = another
    con.execute("update decisions.nights set model_version = 'an earlier one'")
    con.execute("update models.registry set champion = (learner = $learner)", {"learner": learner})
    for number in TABLES:
        assert {row[0] for row in answer(con, number)} == {learner}
    assert [row[:2] for row in answer(con, "1")] == expected_shares(con, learner)


def test_questions_about_scores_give_the_figures_of_one_learner(con: duckdb.DuckDBPyConnection) -> None:
    rows = {number: answer(con, number) for number in TABLES}
    assert {number: len(found) for number, found in rows.items()} == {"2": 10, "4": 5, "5": 5}


@pytest.mark.parametrize("number", [number for number, _ in QUERIES])
def test_no_query_names_a_learner(number: str) -> None:
    query = dict(QUERIES)[number]
    assert not re.search(r"'(s|t|x|r|dr)'|cate_(s|t|x|r|dr)\b", query)


def test_five_percent_more_budget_adds_about_five_percent(con: duckdb.DuckDBPyConnection) -> None:
    assert len(answer(con, "6")) == pytest.approx(0.05 * 64_000, rel=0.2)


def test_a_user_has_one_row_a_list(con: duckdb.DuckDBPyConnection) -> None:
    assert len(answer(con, "9")) == 1
