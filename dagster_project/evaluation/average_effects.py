"""Compute ``evaluation.average_effects``: differences in means of all users, and of each split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.evaluation.average_effect import ArmOutcomes, AverageEffect, share_to_cap
from uplift_core.evaluation.clusters import ClusterSquares
from uplift_core.evaluation.tables import Rows
from uplift_core.experiment.declaration import Experiment

SPLITS = ("train", "holdout")
ALL = "all"
CAPPED = Identifier.of("capped_outcomes")

NO_CAPS = (float("-inf"), float("inf"))
NOT_CAPPED = dict.fromkeys(("cap_low", "cap_high", "capped_effect", "capped_std_error"))

ByArm = dict[str, dict[str, AverageEffect]]  # arm -> split


@dataclass(frozen=True)
class _Outcome:
    """An outcome of an experiment, in the table that has it."""

    experiment: BatchExperiment
    name: str
    binary: bool
    assignment: Identifier

    @property
    def declaration(self) -> Experiment:
        """The experiment's declaration."""
        return self.experiment.declaration

    @property
    def column(self) -> Identifier:
        """The outcome's column in SQL."""
        return self.experiment.outcome(self.name).name


def average_effect_rows(db: Warehouse, experiment: BatchExperiment) -> Rows:
    """Compute the rows of every arm, outcome and split.

    Where a few users decide an effect, that on the capped outcome stands beside it. It is another
    quantity, of which intervals hold what they promise.
    """
    declaration, rows = experiment.declaration, []
    for outcome in declaration.outcomes:
        read = _Outcome(experiment, outcome.name, outcome.kind == "binary", experiment.tables.assignment)
        effects = _effects(db, read)
        caps, capped = _capped(db, read, effects)
        for arm, averages in effects.items():
            label = {"experiment": experiment.name, "arm": arm, "outcome": outcome.name}
            rows += [
                label
                | {"split": split}
                | _row(averages[split], clustered=bool(declaration.cluster))
                | (_capped_row(caps, capped[arm][split]) if averages[split].unreliable else NOT_CAPPED)
                for split in (ALL, *SPLITS)
                if split in averages
            ]
    return rows


def _effects(db: Warehouse, outcome: _Outcome) -> ByArm:
    """Compute the effects on one outcome, by arm and split."""
    declaration, outcomes = outcome.declaration, _read(db, outcome)
    effects: ByArm = {}
    for arm in declaration.treatments:
        averages = {
            split: AverageEffect(treated, control)
            for split in (*SPLITS, ALL)
            if (treated := outcomes.get((arm, split)))
            and (control := outcomes.get((declaration.control, split)))
        }
        if averages and (declaration.errors_by_unit or declaration.propensity_varies):
            averages = _with_clusters(db, outcome, arm, averages)
        effects[arm] = averages
    return effects


def _capped(db: Warehouse, outcome: _Outcome, effects: ByArm) -> tuple[tuple[float, float], ByArm]:
    """Compute the effects on the capped outcome, and its caps, if any effect is unreliable.

    The caps are those of all arms together, so they do not depend on who was treated.
    """
    averages = [average for by_split in effects.values() for average in by_split.values()]
    if outcome.binary or not any(a.unreliable for a in averages):
        return NO_CAPS, effects
    names = {"assignment": outcome.assignment, "outcome": outcome.column}
    share = {"share": share_to_cap(averages)}
    low, high = db.one(render("evaluation/outcome_caps.sql", **names), share)
    if low == high:  # as few users have an outcome that is not 0
        return NO_CAPS, effects
    capped_users = render("evaluation/capped_users.sql", **names)
    db.create_temporary(CAPPED, capped_users, {"low": low, "high": high})
    capped = _effects(db, replace(outcome, assignment=CAPPED))
    db.rows(f"drop table {CAPPED}")
    return (low, high), capped


def _read(db: Warehouse, outcome: _Outcome) -> dict[tuple[str, str], ArmOutcomes]:
    """Read the outcomes by arm and split, and add up the splits to all users."""
    varies = outcome.declaration.propensity_varies
    sql = render(
        "evaluation/average_effects.sql",
        assignment=outcome.assignment,
        outcome=outcome.column,
        varies=varies,
        weighted=bool(outcome.declaration.weight),
    )
    parts: dict[tuple[str, str], ArmOutcomes] = {}
    for arm, split, *sums in db.rows(sql, {"control": outcome.declaration.control} if varies else {}):
        part = ArmOutcomes(*sums)
        parts[arm, split] = part
        parts[arm, ALL] = part.plus(parts[arm, ALL]) if (arm, ALL) in parts else part
    return parts


def _with_clusters(
    db: Warehouse, outcome: _Outcome, arm: str, averages: Mapping[str, AverageEffect]
) -> dict[str, AverageEffect]:
    """Add the influences, added up by cluster, or by user without clusters; ``ALL`` is the last key."""
    sql = render(
        "evaluation/cluster_effects.sql",
        assignment=outcome.assignment,
        outcome=outcome.column,
        clustered=bool(outcome.declaration.cluster),
        varies=outcome.declaration.propensity_varies,
        weighted=bool(outcome.declaration.weight),
    )
    users = {split: a.treated.n_users + a.control.n_users for split, a in averages.items()}
    binds = {
        "arm": arm,
        "control": outcome.declaration.control,
        "splits": list(averages),
        "users": list(users.values()),
        "n_treated": [a.treated.n for a in averages.values()],
        "n_control": [a.control.n for a in averages.values()],
        "mean_treated": [a.treated.mean for a in averages.values()],
        "mean_control": [a.control.mean for a in averages.values()],
    }
    return {
        split: replace(
            averages[split], clusters=ClusterSquares(clusters, users[split], squares, largest)
        )
        for split, clusters, squares, largest in db.rows(sql, binds)
    }


def _row(average: AverageEffect, *, clustered: bool) -> dict[str, object]:
    effect = average.effect
    return {
        "mean_treated": average.treated.mean,
        "mean_control": average.control.mean,
        "effect": effect.value,
        "std_error": effect.std_error,
        "ci_low": effect.ci_low,
        "ci_high": effect.ci_high,
        "largest_share": average.largest_share,
        "unreliable": average.unreliable,
        "n": round(average.treated.n_users + average.control.n_users),
        "clusters": average.clusters.clusters if average.clusters and clustered else None,
    }


def _capped_row(caps: tuple[float, float], average: AverageEffect) -> dict[str, object]:
    """Return what is stored of an effect on the capped outcome: nothing where caps do not help."""
    if caps == NO_CAPS or average.unreliable:
        return NOT_CAPPED
    effect = average.effect
    return {
        "cap_low": caps[0],
        "cap_high": caps[1],
        "capped_effect": effect.value,
        "capped_std_error": effect.std_error,
    }
