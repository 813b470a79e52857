"""Measure a list afterwards: compare the outcomes of treated users with those of the holdout group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from dagster_project.decisions.nights import campaigns
from dagster_project.decisions.outcome_files import FILE, id_columns, number_users, read_file
from dagster_project.decisions.over_time import (
    LIST_OUTCOMES,
    forget_outcomes,
    keep_outcomes,
    measure_over_time,
)
from dagster_project.decisions.records import (
    NIGHT_ARMS,
    REALISED,
    REALISED_ARMS,
    THIS_LIST,
    TREAT_LIST,
    ListKey,
)
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.multi_arm import read_held_out
from dagster_project.inputs.clusters import cluster_column
from dagster_project.scores.score_groups import read_holdout
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.errors import DataError
from uplift_core.evaluation.clusters import ClusterSquares
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.policy import average_effect
from uplift_core.evaluation.realised import Sample, agree, realised_uplift
from uplift_core.experiment.design import Outcome
from uplift_core.targeting.arm_choice import BEST


def measure(
    db: Warehouse, experiment: BatchExperiment, *, decision_date: str, file: Path, absent_is_zero: bool
) -> int:
    """Replace a date's rows of ``decisions.realised``, measured on a file of outcomes.

    What was realised over time is computed again from that date on.

    Args:
        db: the warehouse.
        experiment: the experiment.
        decision_date: YYYY-MM-DD.
        file: CSV or Parquet with the declared id of users or ``user_id``, and columns named after
            declared outcomes.
        absent_is_zero: true if users that the file lacks had an outcome of 0.

    Returns:
        The number of rows written.

    Raises:
        DataError: there is no such list, or the file is invalid: names column, user and remedy.
    """
    known = id_columns(experiment)
    columns = read_file(db, file, known)
    outcomes = [outcome for outcome in experiment.declaration.outcomes if outcome.name in columns]
    owners = [column for column in known if column in columns]
    if not owners or not outcomes:
        declared = [outcome.name for outcome in experiment.declaration.outcomes]
        raise DataError(
            f"{file.name}: needs {' or '.join(known)} and one of {declared}; it has {list(columns)}"
        )
    number_users(db, experiment, file, [outcome.name for outcome in outcomes], owners[0])

    def load(key: ListKey, outcome: Outcome) -> bool:
        _check(db, key, outcome, file, absent_is_zero=absent_is_zero)
        return False

    rows = measure_date(db, experiment, decision_date, outcomes, load)
    measure_over_time(db, experiment, decision_date)
    return rows


Load = Callable[[ListKey, Outcome], bool]
"""Writes a list's outcomes to the table ``LIST_OUTCOMES``; returns whether they are provisional."""


def measure_date(
    db: Warehouse,
    experiment: BatchExperiment,
    decision_date: str,
    outcomes: Sequence[Outcome],
    load: Load,
) -> int:
    """Replace the figures of a date's lists, and the outcomes that are kept; return the number of rows.

    Raises:
        DataError: there is no such list, its rows were removed, or a side has too few users.
    """
    forget_outcomes(db, experiment.name, decision_date)
    rows, by_arm = [], []
    for key in campaigns(db, experiment.name, decision_date):
        _refuse_pruned(db, key)
        for outcome in outcomes:
            provisional = load(key, outcome)
            promises = _promises(db, experiment, key, outcome)
            measured = _measure_outcome(db, experiment, key, outcome, promises)
            rows += [row | {"provisional": provisional} for row in measured]
            by_arm += _measure_arms(db, experiment, key, outcome, promises)
            keep_outcomes(db, experiment, key, outcome.name, provisional=provisional)
    of_date = {"experiment": experiment.name, "decision_date": decision_date}
    db.replace_rows(REALISED, of_date, pa.Table.from_pylist(rows))
    db.replace_rows(REALISED_ARMS, of_date, pa.Table.from_pylist(by_arm))
    return len(rows)


def _refuse_pruned(db: Warehouse, key: ListKey) -> None:
    if not db.rows(f"select 1 from {TREAT_LIST} where {THIS_LIST} limit 1", asdict(key)):
        raise DataError(
            f"{key.experiment}: the list {key.campaign} of {key.decision_date} has no rows by user any "
            "more ([retention] ledger_days); measure a later one, or restore a backup"
        )


def _check(db: Warehouse, key: ListKey, outcome: Outcome, file: Path, *, absent_is_zero: bool) -> None:
    column = Identifier.of(outcome.name)
    try:
        db.create_temporary(
            LIST_OUTCOMES, f"select user_id::bigint as user_id, {column}::double as y from {FILE}"
        )
    except duckdb.Error as error:
        raise DataError(f"{file.name}: user_id and '{outcome.name}' must be numbers: {error}") from error
    sql = render("decisions/outcome_faults.sql", treat_list=TREAT_LIST, outcome_rows=LIST_OUTCOMES)
    kinds = {"binary": outcome.kind == "binary", "counted": outcome.kind == "count"}
    binds = asdict(key) | kinds
    repeated, unknown, first_unknown, odd, first_odd, absent = db.one(sql, binds)
    faults = {
        f"user_id repeats {repeated} times": repeated,
        f"user_id {first_unknown} and {unknown - 1} more are not on the list": unknown,
        f"'{outcome.name}' of user_id {first_odd} and {odd - 1} more is not {outcome.must_be}": odd,
        f"{absent} users of the list are absent; set absent_is_zero if they had no outcome": (
            absent and not absent_is_zero
        ),
    }
    messages = [message for message, wrong in faults.items() if wrong]
    if messages:
        raise DataError(
            f"{file.name}, list {key.campaign} of {key.decision_date}: {'; '.join(messages)}"
        )
    if absent:
        db.rows(
            f"insert into {LIST_OUTCOMES} select user_id, 0 from {TREAT_LIST} where {THIS_LIST} "
            f"and user_id not in (select user_id from {LIST_OUTCOMES})",
            asdict(key),
        )


Promises = dict[tuple[str, str | None], Estimate]


def _measure_outcome(
    db: Warehouse, experiment: BatchExperiment, key: ListKey, outcome: Outcome, promises: Promises
) -> list[dict[str, object]]:
    clustered = bool(experiment.declaration.cluster)
    return [
        _row(key, outcome, means, promises.get((means["comparison"], None)), clustered=clustered)
        for means in _compared(db, experiment, key, by_arm=False)
    ]


def _measure_arms(
    db: Warehouse, experiment: BatchExperiment, key: ListKey, outcome: Outcome, promises: Promises
) -> list[dict[str, object]]:
    """Measure each arm of a list that chooses each user's arm; no row of arms that nobody got."""
    if not db.rows(f"select 1 from {NIGHT_ARMS} where {THIS_LIST} limit 1", asdict(key)):
        return []
    return [
        _row(key, outcome, means, promises.get((means["comparison"], means["arm"])), clustered=False)
        for means in _compared(db, experiment, key, by_arm=True)
        if means["n_treated"] > 1 and means["n_control"] > 1
    ]


def _compared(
    db: Warehouse, experiment: BatchExperiment, key: ListKey, *, by_arm: bool
) -> list[dict[str, Any]]:
    sql = render(
        "decisions/realised.sql",
        treat_list=TREAT_LIST,
        outcome_rows=LIST_OUTCOMES,
        raw=experiment.target_users.raw,
        cluster=cluster_column(experiment),
        by_arm=by_arm,
    )
    return db.arrow(sql, asdict(key)).to_pylist()


def _row(
    key: ListKey,
    outcome: Outcome,
    means: dict[str, Any],
    promised: Estimate | None,
    *,
    clustered: bool,
) -> dict[str, object]:
    variances = [means.pop(f"variance_{side}") for side in ("treated", "control")]
    treated = Sample(means["n_treated"], means["mean_treated"], variances[0])
    control = Sample(means["n_control"], means["mean_control"], variances[1])
    clusters = None
    if clustered:
        squares = [means.pop(name) for name in ("squares", "largest")]
        clusters = ClusterSquares(means["clusters"], treated.n + control.n, *squares)
    uplift = realised_uplift(treated, control, clusters)
    return (
        asdict(key)
        | means
        | {
            "outcome": outcome.name,
            "uplift": uplift.value,
            "std_error": uplift.std_error,
            "ci_low": uplift.ci_low,
            "ci_high": uplift.ci_high,
            "promised": promised.value if promised else None,
            "promised_std_error": promised.std_error if promised else None,
            "agrees": agree(uplift, promised) if promised else None,
        }
    )


def _promises(db: Warehouse, experiment: BatchExperiment, key: ListKey, outcome: Outcome) -> Promises:
    """Return the promised uplifts by comparison and arm; the arm is None for all users of the list.

    Of explorers it is the mean effect. Only the default outcome has a promise.
    """
    if outcome.name != experiment.declaration.defaults.outcome or experiment.declaration.population:
        return {}
    rows = db.rows(
        "select null, arm, promised, promised_std_error from decisions.nights where experiment = "
        "$experiment and campaign = $campaign and decision_date = $decision_date::date union all "
        f"select arm, arm, promised, promised_std_error from {NIGHT_ARMS} where {THIS_LIST}",
        asdict(key),
    )
    promises: Promises = {
        ("list", of_arm): Estimate(promised, error)
        for of_arm, _, promised, error in rows
        if promised is not None
    }
    return promises | _mean_effects(db, experiment, outcome, [(a, arm) for a, arm, _, _ in rows])


def _mean_effects(
    db: Warehouse,
    experiment: BatchExperiment,
    outcome: Outcome,
    arms: list[tuple[str | None, str]],
) -> Promises:
    """Return the mean effects of explorers' arms, of which chance gives each equally often."""
    ((_, listed),) = [(a, arm) for a, arm in arms if a is None]
    if listed != BEST:
        effect = average_effect(read_holdout(db, experiment, listed, outcome.name))
        return {("explore", None): effect}
    scores, names = read_held_out(db, experiment).scores[outcome.name], experiment.declaration.treatments
    every = np.ones(scores.phi.shape)
    of_arm = {arm: every * (np.arange(len(names)) == a) for a, arm in enumerate(names)}
    return {("explore", None): scores.gain(every / len(names))} | {
        ("explore", arm): scores.gain(shares) for arm, shares in of_arm.items()
    }
