"""The whole graph on 5,000 simulated users, whose true effects are known."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from tests.support import SMALL, Open, is_timestamp, run_job, small_simulation
from uplift_core.artifacts import bundle
from uplift_core.artifacts.publication import read_pointer
from uplift_core.learner_names import LEARNER_NAMES

# Rows that are there from the second run on alone.
COMPARED = {
    "quality.results": "where rule <> 'stability index'",  # it needs a training before
    "quality.lineage": "where layer <> 'published'",  # written down after the snapshot was taken
}


def content(con: object) -> dict[str, list[tuple]]:
    """Every table's rows as text, in order, without when and in which run they were made."""
    tables = con.execute(
        "select schema_name, table_name from duckdb_tables() where not internal order by all"
    ).fetchall()
    rows_by_table = {}
    for schema, table in tables:
        columns = con.execute(f'describe "{schema}"."{table}"').fetchall()
        names = ", ".join(
            f'"{name}"::varchar'
            for name, type_, *_ in columns
            if not (is_timestamp(type_) or name == "run_id")
        )
        kept = COMPARED.get(f"{schema}.{table}", "")
        rows = con.execute(f'select {names} from "{schema}"."{table}" {kept} order by all').fetchall()
        rows_by_table[f"{schema}.{table}"] = rows
    return rows_by_table


@pytest.fixture(scope="module")
def again(simulated_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished home after a second run for the same date."""
    home = tmp_path_factory.mktemp("again") / "home"
    shutil.copytree(simulated_home, home)
    (date,) = (p.name for p in (simulated_home / "exports" / "simulated").iterdir())
    run_job(small_simulation(), home, decision_date=date)
    return home


def test_every_layer_is_there(simulated_home: Path, snapshot: Open) -> None:
    con = snapshot(simulated_home)
    sizes = {table: len(rows) for table, rows in content(con).items()}
    for table in ("raw.simulated", "features.simulated", "assignment.simulated", "scores.simulated"):
        assert sizes[table] == SMALL
    assert sizes["decisions.treat_list"] == SMALL
    # These are filled on demand.
    may_be_empty = {
        "models.tuning",
        "models.learned",
        "evaluation.placebo",
        "decisions.suppressions",
        "decisions.registered",
        "decisions.realised",
        "decisions.realised_over_time",
        "decisions.outcome_files",
    }
    # Of several treatments alone, and of a declared exposure.
    may_be_empty |= {"evaluation.multi_arm", "decisions.multi_arm_list", "evaluation.complier_effects"}
    may_be_empty |= {"models.arm_policies", "models.arm_calibration"}
    may_be_empty |= {"decisions.night_arms", "decisions.realised_arms"}
    assert sizes.pop("decisions.contacts") == 0  # of experiments with a contact cap
    assert sizes.pop("decisions.treat_list_parts") == 0  # of lists that a cluster made
    assert all(sizes[table] > 0 for table in sizes if table not in may_be_empty), sizes
    assert not any(table.startswith("training.") for table in sizes)


def test_the_features_hold_neither_outcome_nor_truth(simulated_home: Path, snapshot: Open) -> None:
    columns = {
        row[0] for row in snapshot(simulated_home).execute("describe features.simulated").fetchall()
    }
    assert columns == {"user_id", *(f"x{i}" for i in range(1, 11))}


def test_the_estimated_average_effect_is_the_true_one(simulated_home: Path, snapshot: Open) -> None:
    con = snapshot(simulated_home)
    (truth,) = con.execute(
        "select avg(true_cate) from raw.simulated join assignment.simulated using (user_id) "
        "where split = 'holdout'"
    ).fetchone()
    (effect, error) = con.execute(
        "select a.value - n.value, sqrt(a.std_error ** 2 + n.std_error ** 2) "
        "from evaluation.metrics as a join evaluation.metrics as n using (arm, learner) "
        "where learner = 'r' and a.metric = 'mean_if_all_treated' and n.metric = 'mean_if_none_treated'"
    ).fetchone()
    assert abs(effect - truth) < 3 * error


def test_every_learner_ranks_by_the_true_effect(simulated_home: Path, snapshot: Open) -> None:
    """Rank correlation with the truth among held-out users; 0 would be noise."""
    con = snapshot(simulated_home)
    for learner in LEARNER_NAMES:
        (correlation,) = con.execute(
            f"with ranked as (select rank() over (order by cate_{learner}) as a, "
            "rank() over (order by true_cate) as b "
            "from scores.simulated join raw.simulated using (user_id) where split = 'holdout') "
            "select corr(a, b) from ranked"
        ).fetchone()
        assert correlation > 0.3, learner


def test_the_gain_estimated_is_the_gain_in_truth(simulated_home: Path, snapshot: Open) -> None:
    """The evaluator is proven where the truth is known: at every budget within 4 standard errors."""
    con = snapshot(simulated_home)
    rows = con.execute(
        "with ranked as (select true_cate, row_number() over (order by cate_r desc, user_id) "
        "/ count(*) over () as place from scores.simulated join raw.simulated using (user_id) "
        "where split = 'holdout') "
        "select budget, gain_over_random, gain_std_error, "
        "(select avg((place <= budget)::int * true_cate) - budget * avg(true_cate) from ranked) "
        "from evaluation.policy_value where learner = 'r' and estimator = 'aipw' "
        "and budget in (0.1, 0.3, 0.5, 0.7)"
    ).fetchall()
    assert len(rows) == 4
    for budget, gain, error, truth in rows:
        assert abs(gain - truth) < 4 * error + 1e-3, budget


def test_a_rerun_publishes_the_same_numbers_to_the_last_digit(
    simulated_home: Path, again: Path, snapshot: Open
) -> None:
    first, second = content(snapshot(simulated_home)), content(snapshot(again))
    assert first.keys() == second.keys()
    assert [table for table in first if first[table] != second[table]] == []


def test_a_rerun_makes_the_same_bundle_and_a_new_snapshot(simulated_home: Path, again: Path) -> None:
    first, second = (read_pointer(home / "published") for home in (simulated_home, again))
    assert first.experiments["simulated"].model_version == second.experiments["simulated"].model_version
    assert first.file != second.file
    (folder,) = (again / "bundles").iterdir()
    assert bundle.load(folder).version == first.experiments["simulated"].model_version


def test_a_rerun_leaves_nothing_half_done(again: Path) -> None:
    hidden = [p for p in again.rglob(".*") if "dagster" not in p.parts]
    assert hidden == []
    assert not (again / "warehouse.duckdb.wal").exists()


def test_thirty_dates_in_one_run_chain(simulated_home: Path, tmp_path: Path) -> None:
    """Backfill: one run, thirty partitions; previous + enter - exit = next; parents are named."""
    home = tmp_path / "home"
    shutil.copytree(simulated_home, home)
    days = [(date(2025, 6, 1) + timedelta(days=k)).isoformat() for k in range(30)]
    manifests = [home / f"exports/simulated/{day}/treated/manifest.json" for day in days]
    content: list[bytes] = []
    for first in (0, 25):  # a second time, the last five change nothing
        result = run_job(
            small_simulation(),
            home,
            only=["treat_list", "export"],
            decision_date=days[first],
            until=days[-1],
        )
        partitions = [
            e.partition or e.materialization.tags
            for e in result.all_events
            if e.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
        ]
        assert len(partitions) == 2 * (30 - first)
        content = content or [path.read_bytes() for path in manifests]
    assert content == [path.read_bytes() for path in manifests]
    before: set[int] = set()
    for k, path in enumerate(manifests):
        manifest = json.loads(content[k])
        files = {Path(f["path"]).name: path.parent / f["path"] for f in manifest["files"]}
        changes = duckdb.sql(f"from '{files['changes.parquet']}'").fetchall()
        treated = duckdb.sql(f"select user_id from '{files['treat.parquet']}'").fetchall()
        enter, exit_ = ({user for user, what in changes if what == way} for way in ("enter", "exit"))
        now = {user for (user,) in treated}
        assert len(now) == 0.3 * SMALL
        assert (before | enter) - exit_ == now
        if k:
            digest = hashlib.sha256(content[k - 1]).hexdigest()
            assert manifest["parent"] == {"decision_date": days[k - 1], "sha256": digest}
        before = now
