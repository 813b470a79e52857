"""The meaning of tables and columns is written once, in the SQL, and goes with the data everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dagster_project.commands.dictionary import FILE, dictionary, read_tables
from dagster_project.settings import REPOSITORY
from dagster_project.warehouse.comments import comments_of, usual_meaning
from dagster_project.warehouse.sql import Identifier
from tests.support import Open, opened
from uplift_core.artifacts.home import Home


def said(db, schema: str, table: str) -> dict[str, str]:
    return {key[2]: text for key, text in db.columns().items() if key[:2] == (schema, table)}


def test_comments_are_read_where_they_stand() -> None:
    comments = comments_of(
        "/* One row per user.\n   Grain: user_id.  Bound: $source. */\n"
        "select user_id, a, -- the first's \n columns('x.*'), -- noise\n b + 1 as c -- the last\nfrom t"
    )
    assert comments.table == "One row per user. Grain: user_id."
    assert comments.columns == {"a": "the first's", "c": "the last"}
    assert comments.of_column("x7", {}) == "noise"


@pytest.mark.parametrize(
    "several", ["columns(*)", "columns(c -> c like 'x%')", r"columns('\pL+*')", "*"]
)
def test_columns_that_cannot_be_told_by_name_are_left_alone(several: str) -> None:
    comments = comments_of(f"select a, -- one\n {several}, -- many\n 1 as c from t")
    assert [comments.of_column(name, {}) for name in ("a", "x1", "c")] == ["one", "", ""]


def test_sql_that_cannot_be_parsed_keeps_its_header() -> None:
    assert comments_of("/* What it is. */ select -- what\n from from from").table == "What it is."


def test_a_column_keeps_its_meaning_through_the_layers(db) -> None:
    """A renamed column inherits, too; the table's SQL comes first, usual meanings come last."""
    raw, features = Identifier.of("raw", "toy"), Identifier.of("features", "toy")
    db.create(
        raw, "select 1 as user_id, 2 as a, -- dollars\n 3 as b, -- it's 1 or 0\n 4 as budget -- euros"
    )
    db.create(features, f"select user_id, a, b + 1 as b, -- counted\n b::float as other from {raw}")
    cells = Identifier.of("training", "toy_cells")
    db.create(cells, f"select *, 5 as budget, 6 as toy_sum, 7 as unknown from {features}")
    assert said(db, "features", "toy") == {
        "": "",
        "user_id": "the user",
        "a": "dollars",
        "b": "counted",
        "other": "it's 1 or 0",
    }
    assert said(db, "training", "toy_cells") == {
        **said(db, "features", "toy"),
        "budget": "euros",
        "toy_sum": usual_meaning("toy_sum"),
        "unknown": "",
    }
    assert usual_meaning("toy_sum")


def test_another_experiment_means_something_else_by_the_name(db) -> None:
    db.create(Identifier.of("raw", "mail"), "select 1 as a, -- letters\n 2 as b")
    db.create(Identifier.of("raw", "mailing"), "select 1 as a, 2 as b")
    db.create(Identifier.of("assignment", "mailing"), "select a from raw.mailing")
    assert said(db, "assignment", "mailing")["a"] == ""


def test_a_warehouse_of_an_earlier_wording_gets_this_versions(tmp_path: Path) -> None:
    with opened(Home(tmp_path)) as db:
        right = said(db, "decisions", "gates")
        db.rows("comment on table decisions.gates is 'old words'")
        db.rows("comment on column decisions.gates.gate is null")
    with opened(Home(tmp_path)) as db:
        assert said(db, "decisions", "gates") == right
        assert all(right.values())


def test_the_snapshot_explains_every_table_and_column(
    simulated_home: Path, hillstrom_home: Path, snapshot: Open
) -> None:
    for home in (simulated_home, hillstrom_home):
        tables = read_tables(snapshot(home))
        assert [key for key, (comment, _) in tables.items() if not comment] == []
        silent = [
            (*key, name) for key, (_, columns) in tables.items() for name, _, c in columns if not c
        ]
        assert silent == []


def test_the_dictionary_is_current(simulated_home: Path, hillstrom_home: Path, snapshot: Open) -> None:
    comments = {**read_tables(snapshot(simulated_home)), **read_tables(snapshot(hillstrom_home))}
    assert FILE.read_text(encoding="utf-8") == dictionary(comments), "run make dictionary"


def test_the_page_of_queries_names_every_table_that_all_experiments_share() -> None:
    page = (REPOSITORY / "docs" / "queries.md").read_text(encoding="utf-8")
    tables = re.findall(
        r"^## (\w+\.(?!simulated|hillstrom)\w+)$", FILE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert "decisions.treat_list" in tables
    assert [table for table in tables if f"`{table}`" not in page] == []


@pytest.mark.parametrize("layer", ["raw", "features"])
def test_criteos_columns_are_explained_too(layer: str) -> None:
    """Test Criteo's comments alone, as its file is not available in every run."""
    sql = (Path("sql/experiments/criteo") / f"{layer}.sql").read_text(encoding="utf-8")
    comments = comments_of(sql).columns
    assert {f"f{i}" for i in range(12)} <= comments.keys()
