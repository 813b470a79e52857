"""What a campaign realised over its nights: outcomes that are kept, and figures from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from dagster_project.decisions.records import (
    MEASURED,
    REALISED,
    REALISED_OVER_TIME,
    TREAT_LIST,
    ListKey,
)
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.clusters import cluster_column
from dagster_project.scores.predictions import SCORES
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.evaluation.clusters import refuse_one_cluster
from uplift_core.evaluation.gate import RESPONSE
from uplift_core.evaluation.over_time import AddedOutcomes, Squares, agrees_always, sequence_radius

LIST_OUTCOMES = Identifier.of("realised_outcomes")  # temporary: user_id and y of one list
CAMPAIGN = "experiment = $experiment and campaign = $campaign and outcome = $outcome"
# A sequence begins anew where its first nights were removed ([retention] ledger_days).
EARLIER = (
    f"select arg_min(variance, decision_date), max(variance) from {REALISED_OVER_TIME} "
    f"where {CAMPAIGN} and comparison = $comparison and first_date = $first_date "
    "and decision_date < $decision_date::date"
)
# Every promise of a campaign rests on the same held-out users, so errors are added up.
PROMISED = (
    "select if(count(*) = count(promised), sum(n_treated * promised) / sum(n_treated), null), "
    f"sum(n_treated * promised_std_error) / sum(n_treated) from {REALISED} where {CAMPAIGN} "
    "and comparison = $comparison and not coalesce(provisional, false) "
    "and decision_date between $first_date and $decision_date::date"
)


def keep_outcomes(
    db: Warehouse, experiment: BatchExperiment, key: ListKey, outcome: str, *, provisional: bool
) -> None:
    """Insert the outcomes of a list's compared users, with what models expect without treatment.

    Args:
        db: the warehouse; ``LIST_OUTCOMES`` has a row for each user of the list.
        experiment: the experiment.
        key: the list.
        outcome: name of the outcome.
        provisional: whether the outcome's window has not closed yet; such nights are not added up.
    """
    sql = render(
        "decisions/measured.sql",
        treat_list=TREAT_LIST,
        outcome_rows=LIST_OUTCOMES,
        scores=experiment.target_users.scores,
        response=Identifier.of(SCORES[RESPONSE]),
    )
    db.rows(
        f"insert into {MEASURED} by name {sql}",
        asdict(key) | {"outcome": outcome, "provisional": provisional},
    )


def forget_outcomes(db: Warehouse, experiment: str, decision_date: str) -> None:
    """Delete the outcomes of a date's lists."""
    db.rows(
        f"delete from {MEASURED} where experiment = $experiment and decision_date = $date::date",
        {"experiment": experiment, "date": decision_date},
    )


def measure_over_time(db: Warehouse, experiment: BatchExperiment, since: str) -> int:
    """Compute what every campaign realised until each measured date from ``since`` on.

    Later dates are computed again, because they include ``since``. Returns the number of rows.
    """
    binds = {"experiment": experiment.name, "since": since}
    db.rows(
        f"delete from {REALISED_OVER_TIME} where experiment = $experiment "
        "and decision_date >= $since::date",
        binds,
    )
    lists = db.rows(
        f"select distinct decision_date::varchar, campaign, outcome from {MEASURED} "
        "where experiment = $experiment and decision_date >= $since::date "
        "and not coalesce(provisional, false) order by all",
        binds,
    )
    written = 0
    for date, campaign, outcome in lists:
        rows = _until(db, experiment, ListKey(str(date), experiment.name, str(campaign)), str(outcome))
        written += len(rows)
        if rows:
            with db.relation("incoming_rows", pa.Table.from_pylist(rows)):
                db.rows(f"insert into {REALISED_OVER_TIME} by name from incoming_rows")
    return written


def _until(
    db: Warehouse, experiment: BatchExperiment, key: ListKey, outcome: str
) -> Sequence[dict[str, object]]:
    binds = asdict(key) | {"outcome": outcome}
    cluster = cluster_column(experiment)
    sql = render("decisions/realised_over_time.sql", raw=experiment.target_users.raw, cluster=cluster)
    rows = []
    for sums in db.arrow(sql, binds).to_pylist():
        about = binds | {name: sums[name] for name in ("comparison", "first_date")}
        variances, promised = db.one(EARLIER, about), db.one(PROMISED, about)
        rows.append(about | _row(sums, variances, promised, clustered=bool(cluster)))
    return rows


def _row(
    sums: dict[str, Any],
    variances: tuple[float | None, ...],
    promised: tuple[float | None, ...],
    *,
    clustered: bool,
) -> dict[str, object]:
    """Make a row from a comparison's sums, its first and largest variance before, and its promise."""
    factor = 1.0
    if clustered:
        refuse_one_cluster(sums["units"])
        factor = sums["units"] / (sums["units"] - 1)
    added = AddedOutcomes(
        sums["treatments"],
        sums["added"],
        sums["added_expected"],
        by_unit=Squares(*(factor * sums[name] for name in ("yy", "ye", "ee"))),
        by_night=Squares(*(factor * sums[f"alone_{name}"] for name in ("yy", "ye", "ee"))),
    )
    uplift, unadjusted = added.adjusted, added.unadjusted
    first, largest = variances
    variance = max(added.variance, largest or 0.0)
    radius = sequence_radius(variance, variance if first is None else first) / added.treatments
    value, error = promised
    agrees = None
    if value is not None and error is not None:
        agrees = agrees_always(radius, uplift.value - value, error)
    return {name: sums[name] for name in ("nights", "n_treated", "n_control")} | {
        "treatments": added.treatments,
        "uplift": uplift.value,
        "std_error": uplift.std_error,
        "ci_low": uplift.ci_low,
        "ci_high": uplift.ci_high,
        "sequence_low": uplift.value - radius,
        "sequence_high": uplift.value + radius,
        "unadjusted": unadjusted.value,
        "unadjusted_std_error": unadjusted.std_error,
        "coefficient": added.coefficient,
        "variance": variance,
        "promised": value,
        "promised_std_error": error,
        "agrees": agrees,
        "clusters": sums["units"] if clustered else None,
    }
