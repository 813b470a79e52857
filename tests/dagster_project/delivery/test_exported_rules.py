"""The exported rules: each file decides as the engine does, and the manifest names it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import sqlglot

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.rules import read_rules
from tests.support import folder_of, opened
from uplift_core.artifacts.home import Home
from uplift_core.learners.score_texts import score_of
from uplift_core.targeting.rule_texts import decide

USERS = 50  # of whom the score is computed by JSON and Python


@pytest.fixture(scope="module")
def listed(hillstrom_home: Path) -> tuple[Path, dict[str, Any]]:
    """The manifest of the list, and what it says."""
    (path,) = (hillstrom_home / "exports" / "hillstrom").glob("*/womens/manifest.json")
    return path, json.loads(path.read_bytes())


@pytest.fixture(scope="module")
def files(listed: tuple[Path, dict[str, Any]]) -> dict[tuple[str, str], str]:
    """The exported rules by rule and form."""
    path, manifest = listed
    return {(e["rule"], e["form"]): (path.parent / e["path"]).read_text() for e in manifest["rules"]}


def test_the_manifest_names_every_rule_with_its_sha256(listed: tuple[Path, dict[str, Any]]) -> None:
    path, manifest = listed
    entries = manifest["rules"]
    assert {e["rule"] for e in entries} == {"depth_1", "depth_2", "score"}
    assert {e["form"] for e in entries} == {
        *("duckdb", "postgres", "bigquery", "snowflake", "json", "python"),
    }
    for entry in entries:
        content = (path.parent / entry["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert len(content) == entry["bytes"]
    (folder,) = {path.parent / Path(e["path"]).parent for e in entries}
    assert len([*folder.iterdir()]) == len(entries)


def test_the_files_decide_about_every_user_as_the_engine(
    hillstrom_home: Path, listed: tuple[Path, dict[str, Any]], files: dict[tuple[str, str], str]
) -> None:
    experiment: BatchExperiment = folder_of("hillstrom")
    threshold = listed[1]["threshold"]
    with opened(Home(hillstrom_home)) as db:
        trees = {f"depth_{tree.depth}": tree for tree in read_rules(db, experiment, "womens")}
        engine = db.arrow(
            "select cate_stack >= $threshold::float as treat, cate_stack as score "
            "from scores.hillstrom where arm = 'womens' order by user_id limit 2000",
            {"threshold": threshold},
        )
        users = db.arrow("from features.hillstrom order by user_id limit 2000")
    names = [name for name in users.column_names if name != "user_id"]
    rows = users.select(names).to_pylist()
    x = users.select(names).to_pandas().to_numpy(np.float32)
    with duckdb.connect() as con:
        con.register("users", users)
        decided = con.sql(f"select treat, score from ({files['score', 'duckdb']}) order by user_id")
        treat, score = decided.fetchnumpy().values()
        for rule, tree in trees.items():
            chances = np.array([leaf.treated for _, leaf in tree.leaves()])[tree.leaf_of(x)]
            by_sql = con.sql(f"select chance::double from ({files[rule, 'duckdb']}) order by user_id")
            assert [c for (c,) in by_sql.fetchall()] == pytest.approx(chances.tolist(), abs=1e-12)
            leaves = json.loads(files[rule, "json"])["leaves"]
            assert [decide(leaves, row) for row in rows] == chances.tolist()
            chance = run(files[rule, "python"])["chance"]
            assert [chance(row) for row in rows] == chances.tolist()
    assert treat.tolist() == engine.column("treat").to_numpy().astype(int).tolist()
    assert 0.1 < treat.mean() < 0.6
    assert score == pytest.approx(engine.column("score").to_numpy(), abs=1e-6)
    module, formula = run(files["score", "python"]), json.loads(files["score", "json"])
    some = rows[:USERS]
    assert [module["score"](row) for row in some] == pytest.approx(score[:USERS].tolist(), abs=1e-12)
    assert [module["treat"](row) for row in some] == treat[:USERS].astype(bool).tolist()
    assert [score_of(formula, row) for row in some] == pytest.approx(score[:USERS].tolist(), abs=1e-12)
    rule = listed[1]["score_rule"]
    assert formula["treat_from"] == rule["cut"]
    assert 0 < threshold - rule["cut"] <= 4 * rule["error"] < 1e-5


def run(source: str) -> dict[str, Any]:
    """Run an exported module."""
    module: dict[str, Any] = {}
    exec(compile(source, "rule", "exec"), module)  # noqa: S102 - our export
    return module


@pytest.mark.parametrize("database", ["postgres", "bigquery", "snowflake"])
def test_the_sql_means_the_same_in_every_database(
    files: dict[tuple[str, str], str], database: str
) -> None:
    """sqlglot reads each database's text as what DuckDB's is; of a score a tree, as all take seconds."""
    ours, theirs = (
        sqlglot.parse_one(files["depth_2", form], read=form) for form in ("duckdb", database)
    )
    assert theirs.sql("duckdb") == ours.sql("duckdb")
    trees = {form: files["score", form].split("\n + ")[1] for form in ("duckdb", database)}
    read = [sqlglot.parse_one(text.rstrip(")"), read=form).sql("duckdb") for form, text in trees.items()]
    assert read[0] == read[1]
    assert "CASE WHEN" in read[0]
