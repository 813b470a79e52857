"""The nightly decision: whom to treat within a budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

import pyarrow as pa

from dagster_project.decisions.nights import write_night
from dagster_project.decisions.records import NIGHTS, THIS_LIST, TREAT_LIST, ListKey, Night
from dagster_project.decisions.roles import AssignRoles, Binds, ListRequest, Roles, threshold_binds
from dagster_project.decisions.thresholds import threshold_rows
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.registry import current_version, deciding_learner
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.provenance import versions_of
from dagster_project.warehouse.sql import Identifier
from uplift_core.errors import DataError
from uplift_core.targeting.budget import Budget, Quota, quota

LIST_RULES = Identifier.of("decisions", "list_rules")


def write_treat_list(  # noqa: PLR0913 - whose list, for when, with what, how large
    db: Warehouse,
    experiment: BatchExperiment,
    *,
    decision_date: str,
    arm: str,
    budget: Budget,
    campaign: str = "",
    learner: str = "",
    override: str = "",
    assign_roles: AssignRoles,
) -> Night:
    """Replace one date's list of a campaign.

    It is of the budget's size exactly; less only where the holdout, suppressions and, for money, effects
    that are not worth their cost leave fewer. Where the experiment declares ``cut = "threshold"``, it
    treats ranked users whose score reaches the budget's held-out threshold, however many they are.

    Args:
        db: the warehouse; the caller's transaction makes all of it visible, or nothing.
        experiment: the experiment.
        decision_date: YYYY-MM-DD.
        arm: to treat with.
        budget: share of users, users or money.
        campaign: what the list is for; the arm's name unless given.
        learner: whose score decides; the declared one or the champion unless given.
        override: why the list is to be written even if a gate fails; recorded.
        assign_roles: gives every user a role, on this machine or on a cluster.

    Raises:
        DataError: an invalid budget, scores that are not finite, costs or values that are
            missing, or a gate that failed; nothing is written then.
    """
    experiment.declaration.contrast(arm)
    key = ListKey(decision_date, experiment.name, campaign or arm)
    learner = learner or deciding_learner(db, experiment, arm)
    decided = decide(
        db, experiment, key, arm=arm, learner=learner, budget=budget, assign_roles=assign_roles
    )
    (held,) = threshold_rows(db, experiment, arms=[arm], learners=[learner], budgets=[decided.share])
    if experiment.declaration.decisions.cut == "threshold":
        decided = decided.cut_at(held["threshold"])
    labels = {
        "arm": arm,
        "learner": learner,
        "threshold": held["threshold"],
        "model_version": current_version(db, experiment.name),
        "feature_snapshot": feature_snapshot(db, experiment),
    }
    record(db, experiment, key, decided, labels)
    _write_rules(db, experiment, key, decided.share)
    return write_night(
        db,
        experiment,
        key,
        budget=budget,
        expected_rate=float(held["treated_share"]),
        override=override,
    )


@dataclass(frozen=True)
class Decided:
    """What follows from a budget and the night's roles.

    Attributes:
        roles: of all users.
        size: of the list; more than there are ranked users and explorers where the budget asks for it.
        share: of all users, what the threshold is looked up for.
        treated: how many ranked users and explorers are.
        threshold: score from which on ranked users are treated; None where the size cuts the list.
    """

    roles: Roles
    size: int
    share: float
    treated: Quota
    threshold: float | None = None

    def cut_at(self, threshold: float) -> Decided:
        """The same list, cut at a score; explorers stay those of its size."""
        treated = replace(self.treated, ranked=self.roles.reaching(threshold))
        return replace(self, treated=treated, threshold=threshold)

    def cut(self) -> Binds:
        """Where the list ends among the ranked."""
        if self.threshold is None:
            return self.roles.cut(self.treated.ranked)
        return threshold_binds(self.threshold)


def decide(  # noqa: PLR0913 - whose list, by what, how large
    db: Warehouse,
    experiment: BatchExperiment,
    key: ListKey,
    *,
    arm: str,
    learner: str,
    budget: Budget,
    assign_roles: AssignRoles,
) -> Decided:
    """Give every user a role, and divide the budget among them.

    Raises:
        DataError: as ``write_treat_list``.
    """
    if experiment.declaration.decisions.cut == "threshold" and budget.kind != "share":
        raise DataError(
            f"{experiment.name}: a budget of {budget.amount:g} in {budget.kind}: cut = 'threshold' "
            "takes a share of users, as no threshold keeps to a number or a sum; ask for a share "
            "(budget), or declare cut = 'size'"
        )
    roles = assign_roles(db, experiment, ListRequest(key, arm, learner, money=budget.kind == "money"))
    counts = roles.counts
    size = budget.size(counts.users)
    if size is None:
        size = roles.affordable(budget.amount)
    share = budget.share if budget.share is not None else size / counts.users
    return Decided(roles, size, share, quota(size, counts.ranked, counts.explorers))


def record(
    db: Warehouse,
    experiment: BatchExperiment,
    key: ListKey,
    decided: Decided,
    labels: Mapping[str, object],
) -> None:
    """Replace a list in the ledger by what was decided.

    Args:
        db: the warehouse, with the roles that ``decide`` gave.
        experiment: the experiment.
        key: which list.
        decided: sizes.
        labels: arm, learner, threshold, model_version and feature_snapshot, the same for all users.
    """
    rules, treated, counts = experiment.declaration.decisions, decided.treated, decided.roles.counts
    binds = {
        **asdict(key),
        **labels,
        **decided.cut(),
        "budget": decided.share,
        "size": decided.size,
        "by_threshold": decided.threshold is not None,
        "explore_share": treated.explorers / counts.explorers if counts.explorers else 0.0,
        "holdout": rules.holdout,
        "explore": rules.explore,
    }
    decided.roles.record(binds)
    found = db.one(
        f"select count(*), count(*) filter (treated) from {TREAT_LIST} where {THIS_LIST}", asdict(key)
    )
    expected = counts.users, treated.ranked + treated.explorers
    if found != expected:
        raise DataError(
            f"{key.experiment}: the list holds {found[0]} of {expected[0]} users and treats {found[1]} "
            f"of {expected[1]}; nothing was written"
        )


def _write_rules(db: Warehouse, experiment: BatchExperiment, key: ListKey, share: float) -> None:
    """Record by which rules the list was drawn and cut, for whoever answers by them later."""
    rules = experiment.declaration.decisions
    cap = rules.contact_cap
    row = asdict(key) | {
        "cut": rules.cut,
        "budget": share,
        "salt": experiment.declaration.split.salt,
        "holdout": rules.holdout,
        "explore": rules.explore,
        "contact_cap": cap.treatments if cap else None,
        "cap_days": cap.days if cap else None,
    }
    db.replace_rows(LIST_RULES, asdict(key), pa.Table.from_pylist([row]))


def refuse_other_files(db: Warehouse, experiment: BatchExperiment, key: ListKey) -> None:
    """Refuse to name a list's users by the files that stand if it was made from others.

    Raises:
        DataError: numbers of users may be those of other people by now.
    """
    (made_from,) = db.one(f"select feature_snapshot from {NIGHTS} where {THIS_LIST}", asdict(key))
    stands = feature_snapshot(db, experiment)
    if made_from != stands:
        raise DataError(
            f"{experiment.name}: the list of {key.decision_date} ({key.campaign}) was made from other "
            f"files ({made_from}) than those that stand ({stands}), so the users' own ids cannot be "
            "told. Materialize treat_list of that date anew"
        )


def feature_snapshot(db: Warehouse, experiment: BatchExperiment) -> str:
    """What the scored features were made of: the source file and the feature SQL.

    Those of a population were made of its own file.
    """
    version = versions_of(db, experiment.name, ["population"])["population"]
    if experiment.declaration.population and version:
        return version
    (source,) = db.one(
        "select sha256 from raw.registry where experiment = $name", {"name": experiment.name}
    )
    (sql,) = db.one(
        "select any_value(sql_sha256) from features.registry where experiment = $name",
        {"name": experiment.name},
    )
    return sha256(f"{source}{sql}".encode()).hexdigest()[:12]
