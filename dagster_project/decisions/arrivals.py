"""Outcomes that arrive in files: read each file once, and measure the nights that they are about.

Rows are a set, so the order in which files arrive changes nothing: a repeated row is the same row, and
of two rows about one user, outcome and moment the one that was recorded later counts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from dagster_project.decisions.outcome_files import FILE, id_columns, number_users, read_file
from dagster_project.decisions.over_time import LIST_OUTCOMES, measure_over_time
from dagster_project.decisions.realised import measure_date
from dagster_project.decisions.records import OUTCOME_FILES, OUTCOMES, TREAT_LIST, ListKey
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.own_files import parts_of
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.artifacts.files import sha256_file
from uplift_core.errors import DataError
from uplift_core.experiment.arrivals import Arrivals
from uplift_core.experiment.design import Outcome

INCOMING = Identifier.of("incoming_outcomes")
BEST = Identifier.of("incoming_best")
SAME = "experiment, outcome, user_id, moment"
UNSAID = (
    "-infinity"  # DuckDB's moment before all others, of rows that do not say when they were recorded
)
VALID = {"binary": "y in (0, 1)", "count": "y >= 0 and y = floor(y)", "continuous": "true"}


@dataclass(frozen=True)
class Arrived:
    """What files brought.

    Attributes:
        files: number of files that were read.
        new: outcomes that were not known.
        corrected: outcomes that replaced an earlier value.
        since: the oldest moment of both; None if there are none.
    """

    files: int
    new: int
    corrected: int
    since: datetime | None


def files_of(experiment: BatchExperiment, arrivals: Arrivals) -> list[Path]:
    """List the files that are there, in the order of their names."""
    return parts_of(experiment.path / arrivals.path.expanduser())


def read_arrivals(db: Warehouse, experiment: BatchExperiment, arrivals: Arrivals) -> Arrived:
    """Read the files that are new or have changed, in the caller's transaction.

    Raises:
        DataError: a file has no such columns, an outcome or moment is invalid, or two rows that were
            recorded at one time contradict each other: names file, column, user and remedy.
    """
    new, corrected, since, files = 0, 0, None, 0
    for file in files_of(experiment, arrivals):
        sha256 = sha256_file(file)
        entry = {"experiment": experiment.name, "file": file.name, "sha256": sha256}
        known = "experiment = $experiment and file = $file and sha256 = $sha256"
        if db.rows(f"select 1 from {OUTCOME_FILES} where {known}", entry):
            continue
        unknown = _read(db, experiment, arrivals, file)
        outcomes = db.count(INCOMING)
        added, changed, first = _merge(db, file, arrivals)
        counts = {"outcomes": outcomes, "new_outcomes": added, "corrected": changed}
        now = datetime.now(UTC).replace(tzinfo=None)
        row = entry | counts | {"unknown_users": unknown, "read_at": now}
        db.replace_rows(OUTCOME_FILES, entry, pa.Table.from_pylist([row]))
        files, new, corrected = files + 1, new + added, corrected + changed
        since = min((moment for moment in (since, first) if moment), default=None)
    return Arrived(files, new, corrected, since)


def measure_arrived(
    db: Warehouse, experiment: BatchExperiment, arrivals: Arrivals, since: datetime | None
) -> list[str]:
    """Measure the nights of which outcomes arrived; return their dates.

    A night's window has closed once outcomes of its end or later have arrived. Before, its figures are
    provisional, and are not added up over time.

    Args:
        db: the warehouse.
        experiment: the experiment.
        arrivals: its declared files.
        since: the oldest moment of what is new; None if nothing is.
    """
    (until,) = db.one(
        f"select max(moment) from {OUTCOMES} where experiment = $experiment",
        {"experiment": experiment.name},
    )
    if until is None:
        return []
    binds = {
        "experiment": experiment.name,
        "until": until,
        "since": since or until,
        "days": max(arrivals.within_days.values()),
    }
    waiting = render("decisions/waiting_nights.sql", treat_list=TREAT_LIST)
    dates = [str(date) for (date,) in db.rows(waiting, binds)]
    outcomes = experiment.declaration.arriving_outcomes

    def load(key: ListKey, outcome: Outcome) -> bool:
        days = arrivals.within_days[outcome.name]
        sql = render("decisions/listed_outcomes.sql", treat_list=TREAT_LIST)
        about = {"outcome": outcome.name, "days": days, "binary": outcome.kind == "binary"}
        db.create_temporary(LIST_OUTCOMES, sql, asdict(key) | about)
        (closed,) = db.one(
            "select $until::timestamp >= $decision_date::date + $days::integer",
            {"until": until, "decision_date": key.decision_date, "days": days},
        )
        return not closed

    for date in dates:
        measure_date(db, experiment, date, outcomes, load)
    if dates:
        measure_over_time(db, experiment, dates[0])
    return dates


def _read(db: Warehouse, experiment: BatchExperiment, arrivals: Arrivals, file: Path) -> int:
    """Read a file into ``INCOMING``, a row an outcome; return the rows of unknown users."""
    ids = [arrivals.user] if arrivals.user else id_columns(experiment)
    columns = read_file(db, file, ids)
    owners = [column for column in ids if column in columns]
    outcomes = experiment.declaration.arriving_outcomes
    named = [o for o in outcomes if o.name in columns]
    times = [column for column in (arrivals.moment, arrivals.recorded) if column]
    missing = [column for column in times if column not in columns]
    if not owners or not named or missing:
        raise DataError(
            f"{file.name}: needs {' or '.join(ids)}, {' and '.join(times)}, and one of "
            f"{[o.name for o in outcomes]}; it has {list(columns)}"
        )
    kept = [*times, *(outcome.name for outcome in named)]
    unknown = number_users(db, experiment, file, kept, owners[0], leave_out=True)
    recorded = Identifier.of(arrivals.recorded) if arrivals.recorded else Identifier("null")
    moment = Identifier.of(arrivals.moment)
    db.create_temporary(INCOMING, f"from {OUTCOMES} limit 0")
    for outcome in named:
        name = Identifier.of(outcome.name)
        _refuse_odd(db, file, arrivals, outcome)
        try:
            db.rows(
                f"insert into {INCOMING} select distinct $experiment, $outcome, user_id, "
                f"{moment}::timestamp, {name}::double, coalesce({recorded}::timestamp, "
                f"$unsaid::timestamp) from {FILE} where {name} is not null",
                {"experiment": experiment.name, "outcome": outcome.name, "unsaid": UNSAID},
            )
        except duckdb.Error as error:
            raise DataError(f"{file.name}: '{outcome.name}' and its moments: {error}") from error
    return unknown


def _refuse_odd(db: Warehouse, file: Path, arrivals: Arrivals, outcome: Outcome) -> None:
    name, moment = Identifier.of(outcome.name), Identifier.of(arrivals.moment)
    sound = f"coalesce(isfinite(y) and {VALID[outcome.kind]}, false)"
    odd, first, value, undated, user = db.one(
        f"select count(*) filter (not {sound}), min(user_id) filter (not {sound}), "
        f"min_by(raw, user_id) filter (not {sound}), count(*) filter (moment is null), "
        "min(user_id) filter (moment is null) from (select user_id, "
        f"try_cast({name} as double) as y, {name}::varchar as raw, "
        f"try_cast({moment} as timestamp) as moment from {FILE} where {name} is not null)"
    )
    if odd:
        raise DataError(
            f"{file.name}: '{outcome.name}' is {value!r} for user_id {first} and odd in {odd - 1} more "
            f"rows; it must be {outcome.must_be}. Correct the file"
        )
    if undated:
        raise DataError(
            f"{file.name}: '{arrivals.moment}' of user_id {user} and {undated - 1} more is no moment; "
            "write YYYY-MM-DD HH:MM:SS in UTC"
        )


def _merge(db: Warehouse, file: Path, arrivals: Arrivals) -> tuple[int, int, datetime | None]:
    """Merge ``INCOMING`` into the known outcomes.

    Returns:
        Numbers of new and of corrected outcomes, and the oldest moment of both.
    """
    clashes, outcome, user, moment = db.one(
        f"select count(*), min(outcome), min(user_id), min(moment) from (select {SAME} from "
        f"(from {INCOMING} union all select known.* from {OUTCOMES} as known semi join {INCOMING} "
        f"using ({SAME})) group by {SAME}, recorded having count(distinct y) > 1)"
    )
    if clashes:
        remedy = (
            f"write a later '{arrivals.recorded}' beside the right one"
            if arrivals.recorded
            else "declare arrivals.recorded, the column that says which row was written later"
        )
        raise DataError(
            f"{file.name}: '{outcome}' of user_id {user} at {moment} has two values, and {clashes - 1} "
            f"more have; {remedy}"
        )
    db.create_temporary(
        BEST,
        f"select new.*, known.y is not null as replaces from (select {SAME}, "
        f"arg_max(y, recorded) as y, max(recorded) as recorded from {INCOMING} group by {SAME}) as new "
        f"left join {OUTCOMES} as known using ({SAME}) "
        "where known.y is null or new.recorded > known.recorded",
    )
    added, changed, first = db.one(
        f"select count(*) filter (not replaces), count(*) filter (replaces), min(moment) from {BEST}"
    )
    db.rows(
        f"delete from {OUTCOMES} as known using {BEST} as best where "
        + " and ".join(f"known.{column} = best.{column}" for column in SAME.split(", "))
    )
    db.rows(f"insert into {OUTCOMES} by name select * exclude (replaces) from {BEST}")
    return int(added), int(changed), first
