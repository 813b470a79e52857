"""Outcomes that arrive late, repeated, corrected and in any order."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.decisions.arrivals import Arrived, measure_arrived, read_arrivals
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.definitions import build_definitions
from dagster_project.resources import Engine
from dagster_project.settings import REPOSITORY
from dagster_project.warehouse.connection import Warehouse
from tests.support import dicts, memory_warehouse, opened, run_job, small_simulation, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError, ExperimentError
from uplift_core.experiment.arrivals import Arrivals
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.design import Outcome

USERS = 120
FIRST = date(2026, 1, 1)
NIGHTS = 3
LISTED = """
insert into decisions.treat_list by name
select $date::date as decision_date, 'simulated' as experiment, 'c' as campaign, user_id,
    'treated' as arm,
    case
        when user_id <= 20 then 'holdout'
        when user_id <= 30 then 'explore'
        else 'treat'
    end as decision,
    case when user_id <= 20 then 'holdout' else 'within_budget' end as reason, user_id > 20 as treated,
    true as selected, 0.1 as score, 0.05 as threshold, 0.5 as budget, 0 as cost, 0.9 as propensity,
    'stack' as learner, 'v' as model_version, 'f' as feature_snapshot
from raw.simulated
"""
Row = tuple[int, datetime, float, datetime]  # user, moment, spend, recorded
MEASURED = "from decisions.measured order by decision_date, user_id"
KNOWN = "from decisions.outcomes order by user_id, moment"
REALISED = (
    "select decision_date, comparison, uplift, std_error, provisional "
    "from decisions.realised order by all"
)


def declared(folder: Path, **changes: object) -> BatchExperiment:
    """The simulated experiment with an outcome that nobody made a promise about."""
    experiment = small_simulation()
    spend = Outcome(name="spend", kind="continuous")
    arrivals = {"path": "outcomes-*.csv", "within_days": {"spend": 2}, "recorded": "recorded"}
    changed = experiment.declaration.model_copy(
        update={
            "outcomes": (*experiment.declaration.outcomes, spend),
            "arrivals": Arrivals.model_validate(arrivals | changes),
        }
    )
    return BatchExperiment(changed, folder, experiment.features_sql, experiment.tables)


def listed() -> Warehouse:
    """A warehouse with three nights of one campaign."""
    db = memory_warehouse()
    db.rows(f"create table raw.simulated as select user_id from range(1, {USERS + 1}) as u (user_id)")
    db.rows("create table scores.simulated as select user_id, 0.1 as response from raw.simulated")
    required = db.rows(
        "select column_name from duckdb_columns() where schema_name = 'decisions' and not is_nullable "
        "and table_name = 'nights' and data_type <> 'VARCHAR' and column_name <> 'decision_date'"
    )
    numbers = ", ".join(f"0 as {name}" for (name,) in required)
    for night in range(NIGHTS):
        binds = {"date": str(FIRST + timedelta(days=night))}
        db.rows(LISTED, binds)
        db.rows(
            "insert into decisions.nights by name select $date::date as decision_date, "
            "'simulated' as experiment, 'c' as campaign, 'treated' as arm, 'stack' as learner, "
            f"'v' as model_version, 'f' as feature_snapshot, 'share' as budget_kind, {numbers}",
            binds,
        )
    return db


def moment(hours: float) -> datetime:
    return datetime(2026, 1, 1) + timedelta(hours=hours)  # noqa: DTZ001 - as DuckDB has it, in UTC


def events(seed: int = 0) -> list[Row]:
    """Purchases of all users over six days, each recorded as it happens; a third is corrected later."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for user in range(1, USERS + 1):
        hours = np.unique(rng.integers(0, 6 * 24, 3)).tolist()
        for hour in hours:
            rows.append((user, moment(hour), float(rng.integers(1, 50)), moment(hour)))
            if rng.random() < 0.3:
                rows.append((user, moment(hour), float(rng.integers(1, 50)), moment(hour + 30)))
    return rows


def write(folder: Path, number: int, rows: Sequence[Row]) -> None:
    columns = dict(zip(("user_id", "moment", "spend", "recorded"), zip(*rows, strict=True), strict=True))
    pa_csv.write_csv(pa.table(columns), folder / f"outcomes-{number:03}.csv")


def take(db: Warehouse, experiment: BatchExperiment) -> tuple[Arrived, list[str]]:
    """Read what arrived and measure it."""
    arrivals = experiment.declaration.arrivals
    arrived = read_arrivals(db, experiment, arrivals)
    return arrived, measure_arrived(db, experiment, arrivals, arrived.since)


def state(db: Warehouse) -> tuple[object, ...]:
    figures = [
        {k: pytest.approx(v) if isinstance(v, float) else v for k, v in row.items()}
        for row in dicts(db, REALISED)
    ]
    return dicts(db, KNOWN), dicts(db, MEASURED), figures


@pytest.fixture
def nights() -> Iterator[Warehouse]:
    db = listed()
    yield db
    db.con.close()


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """What one file with all rows gives."""
    folder = tmp_path_factory.mktemp("at_once")
    write(folder, 0, events())
    db = listed()
    take(db, declared(folder))
    return state(db)


@settings(max_examples=6)
@given(seed=st.integers(0, 10**6), files=st.integers(1, 6))
def test_the_order_in_which_outcomes_arrive_changes_nothing(
    at_once: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory, seed: int, files: int
) -> None:
    """Rows come in any order, some twice; nights are measured after each file."""
    rng, folder, db = np.random.default_rng(seed), tmp_path_factory.mktemp("order"), listed()
    rows = events()
    rows += [rows[i] for i in rng.integers(0, len(rows), 50)]
    order = rng.permutation(len(rows))
    for number, part in enumerate(np.array_split(order, files)):
        write(folder, number, [rows[i] for i in part])
        take(db, declared(folder))
    assert state(db) == at_once
    db.con.close()


def test_a_file_that_was_read_brings_nothing_again(nights: Warehouse, tmp_path: Path) -> None:
    experiment = declared(tmp_path)
    write(tmp_path, 0, events())
    first, dates = take(nights, experiment)
    assert (first.files, len(dates)) == (1, NIGHTS)
    before = state(nights)
    assert take(nights, experiment) == (Arrived(0, 0, 0, None), [])
    write(tmp_path, 1, events())  # under another name: all rows are known
    again, dates = take(nights, experiment)
    assert (again.files, again.new, again.corrected) == (1, 0, 0)
    assert (dates, state(nights)) == ([], before)


def test_a_night_is_provisional_until_its_window_has_closed(nights: Warehouse, tmp_path: Path) -> None:
    rows = sorted(events(), key=lambda row: row[3])
    experiment = declared(tmp_path)
    early = [row for row in rows if row[3] < moment(40)]
    write(tmp_path, 0, early)
    take(nights, experiment)
    assert provisional(nights) == {FIRST: True, FIRST + timedelta(days=1): True}
    over_time = "select count(*) from decisions.realised_over_time"
    assert nights.one(over_time) == (0,)
    write(tmp_path, 1, [row for row in rows if row[3] >= moment(40)])
    take(nights, experiment)
    assert not any(provisional(nights).values())
    assert nights.one(over_time) == (9,)


def provisional(db: Warehouse) -> dict[date, bool]:
    return dict(db.rows("select distinct decision_date, provisional from decisions.realised"))


def test_what_happened_outside_the_window_does_not_count(nights: Warehouse, tmp_path: Path) -> None:
    rows: list[Row] = [
        (31, moment(-0.5), 100.0, moment(0)),  # before the first night
        (31, moment(0), 1.0, moment(0)),
        (31, moment(47.9), 2.0, moment(48)),
        (31, moment(48), 100.0, moment(48)),  # two days after the first night
        (1, moment(200), 0.0, moment(200)),
    ]
    write(tmp_path, 0, rows)
    take(nights, declared(tmp_path))
    found = nights.one(
        "select y from decisions.measured where user_id = 31 and decision_date = '2026-01-01'"
    )
    assert found == (3.0,)


def test_users_whom_the_experiment_does_not_know_are_left_out_and_counted(
    nights: Warehouse, tmp_path: Path
) -> None:
    write(tmp_path, 0, [*events(), (9_999, moment(1), 5.0, moment(1))])
    take(nights, declared(tmp_path))
    assert nights.one("select unknown_users from decisions.outcome_files") == (1,)
    assert nights.one("select count(*) from decisions.outcomes where user_id = 9999") == (0,)


@pytest.mark.parametrize(
    ("row", "changes", "fault"),
    [
        ((5, moment(1), float("nan"), moment(1)), {}, "'spend' is 'nan' for user_id 5"),
        ((31, moment(1), 7.0, moment(1)), {}, "at 2026-01-01 01:00:00 has two values"),
        ((31, moment(1), 7.0, moment(9)), {"recorded": ""}, "declare arrivals.recorded"),
        ((5, moment(1), 7.0, moment(1)), {"moment": "when"}, "needs user_id, when and recorded"),
        ((5, moment(1), 7.0, moment(1)), {"user": "customer"}, "needs customer, moment and recorded"),
    ],
)
def test_rows_that_cannot_be_meant_are_refused(
    nights: Warehouse, tmp_path: Path, row: Row, changes: dict[str, object], fault: str
) -> None:
    write(tmp_path, 0, [(31, moment(1), 3.0, moment(1)), row])
    with pytest.raises(DataError, match=fault):
        take(nights, declared(tmp_path, **changes))


@pytest.mark.parametrize(
    ("arrivals", "fault"),
    [
        ({"path": "o.csv", "within_days": {"visits": 3}}, "names 'visits', which is no outcome"),
        ({"path": "o.csv", "within_days": {}}, "at least 1"),
        ({"path": "o.csv", "within_days": {"converted": 0}}, "greater than or equal to 1"),
        ({"path": "o.csv", "within_days": {"converted": 1}, "moment": "converted"}, "repeat a name"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(arrivals: dict[str, object], fault: str) -> None:
    data = small_simulation().declaration.model_dump() | {"arrivals": arrivals}
    with pytest.raises((ExperimentError, ValueError), match=fault):
        Experiment.model_validate(data)


def in_files(experiment: BatchExperiment, folder: Path) -> BatchExperiment:
    arrivals = Arrivals(path=folder / "outcomes-*.csv", within_days={"converted": 2})
    return with_experiment(experiment, arrivals=arrivals)


def happen(home: Home, folder: Path) -> str:
    """A file of conversions from the list's night on; the date of the list."""
    folder.mkdir(exist_ok=True)
    with opened(home) as db:
        (night,) = db.one("select decision_date::varchar from decisions.nights")
        db.rows(
            f"copy (select user_id, $night::timestamp + to_hours((user_id % 90)::integer) as moment, "
            "(user_id % 3 = 0)::integer as converted from raw.simulated) to "
            f"'{folder}/outcomes-1.csv'",
            {"night": night},
        )
    return str(night)


def test_through_dagster_files_are_read_measured_and_published(
    home: Home, simulated: BatchExperiment, tmp_path: Path
) -> None:
    night = happen(home, tmp_path / "files")
    experiment = in_files(simulated, tmp_path / "files")
    run_job(experiment, home.root, job="outcomes_simulated")
    with opened(home) as db:
        rows = dicts(db, "from decisions.realised order by comparison")
        files = dicts(db, "from decisions.outcome_files")
    assert [(str(row["decision_date"]), row["provisional"]) for row in rows] == [(night, False)] * 2
    assert rows[1]["promised"] is not None
    assert files[0]["outcomes"] == files[0]["new_outcomes"] == 5_000


def test_a_reader_that_is_killed_leaves_nothing_and_its_rerun_is_as_undisturbed(
    home: Home, simulated: BatchExperiment, tmp_path: Path
) -> None:
    happen(home, tmp_path / "files")
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from dagster_project.decisions import arrivals\n"
        "from tests.dagster_project.decisions.test_arrivals import in_files, take\n"
        "from tests.support import opened, small_simulation\n"
        "from uplift_core.artifacts.home import Home\n"
        "arrivals.measure_over_time = lambda *_: os._exit(9)\n"
        "with opened(Home(Path(sys.argv[1]))) as db:\n"
        "    take(db, in_files(small_simulation(), Path(sys.argv[2])))\n"
    )
    command = [sys.executable, "-c", code, str(home.root), str(tmp_path / "files")]
    killed = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True)
    assert killed.returncode == 9, killed.stderr.decode()[-2000:]
    experiment = in_files(simulated, tmp_path / "files")
    counted = "select count(*) from decisions."
    with opened(home) as db:
        for table in ("outcomes", "outcome_files", "measured", "realised"):
            assert db.one(counted + table) == (0,), table
        arrived, _ = take(db, experiment)
        assert (arrived.files, arrived.new) == (1, 5_000)
        assert db.one(counted + "realised_over_time") == (3,)


def test_the_sensor_asks_for_a_run_when_files_arrive(simulated: BatchExperiment, tmp_path: Path) -> None:
    experiment = in_files(simulated, tmp_path)
    definitions = build_definitions([experiment], Engine(home=str(tmp_path / "home")))
    sensor = definitions.resolve_sensor_def("outcomes_arrived")
    looks, cursor = [], None
    with dg.DagsterInstance.ephemeral() as instance:
        for files in (0, 1, 1, 2):
            for number in range(files):
                file = tmp_path / f"outcomes-{number}.csv"
                if not file.exists():
                    file.touch()
            context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=definitions)
            tick = sensor.evaluate_tick(context)
            cursor = tick.cursor
            looks.append([request.job_name for request in tick.run_requests])
    assert looks == [[], ["outcomes_simulated"], [], ["outcomes_simulated"]]
