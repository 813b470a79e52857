"""Rows of lists that models can learn from: with a chance, an outcome, and features of that night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dagster_project.decisions.facts import feature_snapshot
from dagster_project.decisions.records import NIGHTS, OUTCOMES, TREAT_LIST, ListKey
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.errors import DataError
from uplift_core.experiment.arrivals import Arrivals
from uplift_core.experiment.learning import Learning

CLOSED = (
    f"select decision_date::varchar from {NIGHTS} where experiment = $experiment "
    "and campaign = $campaign and decision_date + $days::integer <= $until::timestamp "
    f"and exists (from {TREAT_LIST} as list where list.decision_date = nights.decision_date "
    "and list.experiment = nights.experiment and list.campaign = nights.campaign) "
    "order by decision_date desc limit $nights"
)


@dataclass(frozen=True)
class Counts:
    """Rows of lists, a row a user and night; the columns of ``models.learned``."""

    campaign: str
    nights: int
    listed: int
    learned: int
    never: int
    always: int
    little_overlap: int
    lost_features: int


def kept_table(experiment: BatchExperiment) -> Identifier:
    """Name the table of features as they stood on nights."""
    return Identifier.of("training", f"{experiment.name}_kept")


def keep_features(db: Warehouse, experiment: BatchExperiment) -> None:
    """Keep the features of the users whom lists are about, if these are not kept yet.

    They are kept once for each version of the source file, not once for each night.
    """
    table, snapshot = kept_table(experiment), {"feature_snapshot": feature_snapshot(db, experiment)}
    select = render("training/kept_features.sql", features=experiment.target_users.features)
    if not db.kind(table):
        db.rows(f"create table {table} as {select}", snapshot)
    elif not db.rows(
        f"select 1 from {table} where feature_snapshot = $feature_snapshot limit 1", snapshot
    ):
        db.rows(f"insert into {table} by name {select}", snapshot)


def list_rows(
    db: Warehouse, experiment: BatchExperiment, learning: Learning, target: Identifier
) -> Counts:
    """Create the temporary table ``target`` of rows that can be learned from.

    Users with a chance of 0 or 1 give no contrast, and those with a chance near them little; both are
    left out, and so are rows the features of which were not kept.

    Raises:
        DataError: there is no such row.
    """
    arrivals = experiment.declaration.arrivals
    campaign = learning.campaign or experiment.declaration.treatments[0]
    nights = _closed_nights(db, experiment, learning, campaign) if arrivals else []
    if not arrivals or not nights:
        raise DataError(
            f"{experiment.name}: no night of campaign '{campaign}' has closed windows of outcomes; "
            "learn once outcomes of some list have arrived, or name another campaign in [learning]"
        )
    keep_features(db, experiment)
    every = Identifier.of("all_listed")
    for i, night in enumerate(nights):
        sql, binds = _night(db, experiment, arrivals, ListKey(night, experiment.name, campaign))
        if i:
            db.rows(f"insert into {every} by name {sql}", binds)
        else:
            db.create_temporary(every, sql, binds)
    known = f"select distinct user_id, feature_snapshot from {kept_table(experiment)}"
    reason = (
        "case when propensity = 0 then 'never' when propensity = 1 then 'always' "
        "when propensity < $overlap or propensity > 1 - $overlap then 'little_overlap' "
        "when known.user_id is null then 'lost_features' else 'learned' end"
    )
    sorted_rows = Identifier.of("sorted_listed")
    db.create_temporary(
        sorted_rows,
        f"select list.*, {reason} as lot from {every} as list "
        f"left join ({known}) as known using (user_id, feature_snapshot)",
        {"overlap": learning.overlap},
    )
    db.create_temporary(target, f"select * exclude (lot) from {sorted_rows} where lot = 'learned'")
    lots = {
        str(lot): int(n) for lot, n in db.rows(f"select lot, count(*) from {sorted_rows} group by lot")
    }
    if not lots.get("learned"):
        raise DataError(
            f"{experiment.name}: of {sum(lots.values())} rows of {len(nights)} nights none can be "
            f"learned from ({lots}); let chance decide about more users ([decisions] explore), or lower "
            "[learning] overlap"
        )
    names = ("learned", "never", "always", "little_overlap", "lost_features")
    return Counts(
        campaign, len(nights), sum(lots.values()), **{name: lots.get(name, 0) for name in names}
    )


def _closed_nights(
    db: Warehouse, experiment: BatchExperiment, learning: Learning, campaign: str
) -> list[str]:
    """Return the newest nights for whose end outcomes have arrived, at most ``learning.nights``."""
    arrivals = experiment.declaration.arrivals
    of = {"experiment": experiment.name}
    (until,) = db.one(f"select max(moment) from {OUTCOMES} where experiment = $experiment", of)
    if until is None or arrivals is None:
        return []
    days = max(arrivals.within_days[outcome.name] for outcome in experiment.declaration.outcomes)
    binds = of | {"campaign": campaign, "days": days, "until": until, "nights": learning.nights}
    return sorted(str(date) for (date,) in db.rows(CLOSED, binds))


def _night(
    db: Warehouse, experiment: BatchExperiment, arrivals: Arrivals, key: ListKey
) -> tuple[str, Mapping[str, object]]:
    """Return the SELECT of one night's rows; each outcome is written to a temporary table before."""
    names = []
    binds = {"decision_date": key.decision_date, "experiment": key.experiment, "campaign": key.campaign}
    sql = render("decisions/listed_outcomes.sql", treat_list=TREAT_LIST)
    for i, outcome in enumerate(experiment.declaration.outcomes):
        rows = Identifier.of(f"outcome_{i}")
        days = arrivals.within_days[outcome.name]
        about = {"outcome": outcome.name, "days": days, "binary": outcome.kind == "binary"}
        db.create_temporary(rows, sql, binds | about)
        of_outcome = experiment.outcome(outcome.name)
        names.append({"rows": rows, "name": of_outcome.name, "type": of_outcome.type})
    return render("training/listed_rows.sql", treat_list=TREAT_LIST, outcomes=names), binds
