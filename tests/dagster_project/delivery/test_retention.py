"""What is older than declared is removed, counted, and nothing else is."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.assets import experiment_assets
from dagster_project.decisions.realised import measure
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.old_runs import old_runs, remove_run
from dagster_project.delivery.retention import Pruning, as_metadata, prune
from dagster_project.delivery.stores import LocalStore
from tests.support import opened, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.experiment.declaration import Experiment, load_experiment
from uplift_core.experiment.retention import Retention

NIGHTS = 20


@pytest.fixture
def tonight(home: Home) -> date:
    """The date of the run's list, which is written for the nineteen nights before as well."""
    with opened(home) as db:
        (last,) = db.one("select max(decision_date) from decisions.nights")
        before = [(last - timedelta(days=k)).isoformat() for k in range(1, NIGHTS)]
        for table in ("nights", "treat_list"):
            db.rows(
                f"insert into decisions.{table} by name "
                "select lists.* replace (days.day::date as decision_date) "
                f"from decisions.{table} as lists, (select unnest($days::varchar[]) as day) as days "
                "where lists.decision_date = $last",
                {"days": before, "last": last},
            )
    exports = home.exports / "simulated"
    for day in before:
        (exports / day / "treated").mkdir(parents=True)
        (exports / day / "treated" / "treat.csv").write_text("user_id\n")
    return last


def pruned(
    home: Home, simulated: BatchExperiment, today: date, *, only_told: bool = False, **kept: object
) -> dict[str, tuple[tuple[str, ...], int]]:
    experiment = with_experiment(simulated, retention=Retention(**kept))
    with opened(home) as db, dg.DagsterInstance.ephemeral() as instance:
        places = db, home, LocalStore(home.exports), experiment, today
        removed = prune(Pruning(*places, instance, only_told=only_told))
    assert len(as_metadata(removed)) == len(removed)
    return {each.what: (each.names, each.rows) for each in removed}


def test_old_rows_by_user_go_and_their_counts_stay(
    home: Home, simulated: BatchExperiment, tonight: date
) -> None:
    removed = pruned(home, simulated, tonight, ledger_days=7)
    names, rows = removed.pop("lists in the ledger")
    assert names == tuple((tonight - timedelta(days=k)).isoformat() for k in range(NIGHTS - 1, 7, -1))
    assert rows == len(names) * 5_000
    assert set(removed.values()) == {((), 0)}
    with opened(home) as db:
        assert db.one(
            "select count(distinct decision_date), min(decision_date) from decisions.treat_list"
        ) == (8, tonight - timedelta(days=7))
        assert db.one("select count(*) from decisions.nights") == (NIGHTS,)
    assert pruned(home, simulated, tonight, ledger_days=7)["lists in the ledger"] == ((), 0)


def test_the_two_newest_lists_stay_however_old(
    home: Home, simulated: BatchExperiment, tonight: date
) -> None:
    much_later = tonight + timedelta(days=500)
    pruned(home, simulated, much_later, ledger_days=2, exports_days=2)
    with opened(home) as db:
        dates = db.rows("select distinct decision_date from decisions.treat_list order by all")
    assert dates == [(tonight - timedelta(days=1),), (tonight,)]
    assert [path.name for path in (home.exports / "simulated").iterdir()] == [tonight.isoformat()]


def test_a_removed_list_cannot_be_measured_and_says_why(
    home: Home, simulated: BatchExperiment, tonight: date
) -> None:
    pruned(home, simulated, tonight, ledger_days=7)
    old, file = (tonight - timedelta(days=10)).isoformat(), home.root / "outcomes.csv"
    file.write_text("user_id,converted\n1,1\n")
    with opened(home) as db, pytest.raises(DataError, match=r"no rows by user any more \(\[retention\]"):
        measure(db, simulated, decision_date=old, file=file, absent_is_zero=True)


def test_old_exports_go_whole(home: Home, simulated: BatchExperiment, tonight: date) -> None:
    removed = pruned(home, simulated, tonight, exports_days=3)
    kept = sorted(path.name for path in (home.exports / "simulated").iterdir())
    assert kept == [(tonight - timedelta(days=k)).isoformat() for k in (3, 2, 1, 0)]
    assert len(removed["exports"][0]) == NIGHTS - 4
    assert not list(home.exports.glob(".export-*"))


def test_models_that_nothing_names_go(home: Home, simulated: BatchExperiment, tonight: date) -> None:
    (current,) = (path.name for path in home.bundles.iterdir() if path.name.startswith("simulated-"))
    old, young = "simulated-0123456789ab", "simulated-ba9876543210"
    long_ago = (datetime.now(UTC) - timedelta(days=90)).timestamp()
    for name in (current, old, young, "simulated-notes"):
        for root in (home.bundles, home.cards):
            (root / name).mkdir(exist_ok=True)
            if name != young:
                os.utime(root / name, (long_ago, long_ago))
    assert pruned(home, simulated, tonight, models_days=30)["models"] == ((old,), 0)
    for root in (home.bundles, home.cards):
        assert {current, young, "simulated-notes"} == {p.name for p in root.iterdir()} - {".lock"}


def test_what_would_be_removed_is_told(home: Home, simulated: BatchExperiment, tonight: date) -> None:
    kept = {"ledger_days": 7, "exports_days": 3}
    with opened(home) as db:
        rows = db.one("select count(*) from decisions.treat_list")
    told = pruned(home, simulated, tonight, only_told=True, **kept)
    with opened(home) as db:
        assert db.one("select count(*) from decisions.treat_list") == rows
    assert told["exports"][0]
    assert pruned(home, simulated, tonight, **kept) == told


def test_old_runs_go_with_all_their_files(simulated: BatchExperiment, tmp_path: Path) -> None:
    @dg.asset(key=["simulated", "made"])
    def made() -> None:
        """A table of the experiment."""

    @dg.asset(key=["other", "made"])
    def of_another() -> None:
        """A table of another one."""

    jobs = [
        dg.define_asset_job("uplift_simulated", [made]),
        dg.define_asset_job("uplift_other", [of_another]),
    ]
    project = dg.Definitions([made, of_another], jobs=jobs)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        runs = [
            project.resolve_job_def(f"uplift_{name}").execute_in_process(instance=instance).run_id
            for name in ("simulated", "other", "simulated", "other", "simulated")
        ]
        first, second, _, _, last = runs
        assert old_runs(instance, "simulated", datetime.now(UTC) - timedelta(days=1)) == []
        old = old_runs(instance, "simulated", datetime.now(UTC) + timedelta(days=1))
        assert old == [first, runs[2]]  # not the others', and not the last version's
        for run_id in old:
            remove_run(instance, run_id)
        assert {run.run_id for run in instance.get_runs()} == {second, runs[3], last}
        assert old_runs(instance, "simulated", datetime.now(UTC) + timedelta(days=1)) == []
        event = instance.get_latest_materialization_event(made.key)
        assert event is not None
        assert event.run_id == last
    left = {path.name for path in tmp_path.rglob("*") if any(run in path.name for run in old)}
    assert left == set()


def test_without_a_number_nothing_is_removed_and_no_asset_is_there(
    home: Home, simulated: BatchExperiment, tonight: date
) -> None:
    assert set(pruned(home, simulated, tonight + timedelta(days=9_999)).values()) == {((), 0)}
    keys = {key.path[-1] for asset in experiment_assets(simulated, "2026-01-01") for key in asset.keys}
    assert "retention" not in keys
    declared = with_experiment(simulated, retention=Retention(ledger_days=400))
    keys = {key.path[-1] for asset in experiment_assets(declared, "2026-01-01") for key in asset.keys}
    assert "retention" in keys


def test_the_contact_cap_keeps_its_days(simulated: BatchExperiment) -> None:
    declaration = load_experiment(simulated.path)
    assert "retention" not in declaration.model_dump()  # models keep their version
    rules = declaration.decisions.model_dump() | {"contact_cap": {"treatments": 2, "days": 30}}
    data = declaration.model_dump() | {"decisions": rules, "retention": {"ledger_days": 29}}
    with pytest.raises(ValueError, match=r"ledger_days must be at least decisions\.contact_cap"):
        Experiment.model_validate(data)
    assert Experiment.model_validate(data | {"retention": {"ledger_days": 30}}).retention.prunes
