"""The nightly decision: whom to treat within a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256

from dagster_project.champion import deciding_learner
from dagster_project.folders import ExperimentFolder
from dagster_project.models import current_version
from dagster_project.nights import THIS_LIST, TREAT_LIST, ListKey, Night, write_night
from dagster_project.predictions import SCORES
from dagster_project.sqlfiles import Identifier, render
from dagster_project.thresholds import threshold_rows
from dagster_project.warehouse import Warehouse
from uplift_core.budget import Budget, Quota, quota
from uplift_core.errors import DataError

SUPPRESSIONS = Identifier.of("decisions", "suppressions")
ROLES = Identifier.of("roles")
PLACES = Identifier.of("places")
NO_CAP = 2**31 - 1  # more treatments than anybody can have had


def write_treat_list(  # noqa: PLR0913 - whose list, for when, with what, how large
    db: Warehouse,
    folder: ExperimentFolder,
    *,
    decision_date: str,
    arm: str,
    budget: Budget,
    campaign: str = "",
    learner: str = "",
    override: str = "",
) -> Night:
    """Replace one date's list of a campaign.

    It is of the budget's size exactly; less only where the holdout, suppressions and, for money, effects
    that are not worth their cost leave fewer.

    Args:
        db: the warehouse; the caller's transaction makes all of it visible, or nothing.
        folder: the experiment.
        decision_date: YYYY-MM-DD.
        arm: to treat with.
        budget: share of users, users or money.
        campaign: what the list is for; the arm's name unless given.
        learner: whose score decides; the declared one or the champion unless given.
        override: why the list is to be written even if a gate fails; recorded.

    Raises:
        DataError: a budget that cannot be meant, scores that are not finite, costs or values that are
            missing, or a gate that failed; nothing is written then.
    """
    folder.experiment.contrast(arm)
    key = ListKey(decision_date, folder.name, campaign or arm)
    learner = learner or deciding_learner(db, folder, arm)
    decided = decide(db, folder, key, arm=arm, learner=learner, budget=budget)
    (held,) = threshold_rows(db, folder, arms=[arm], learners=[learner], budgets=[decided.share])
    labels = {
        "arm": arm,
        "learner": learner,
        "threshold": held["threshold"],
        "model_version": current_version(db, folder.name),
        "feature_snapshot": _feature_snapshot(db, folder),
    }
    record(db, folder, key, decided, labels)
    return write_night(
        db,
        folder,
        key,
        budget=budget,
        expected_rate=float(held["treated_share"]),
        override=override,
    )


@dataclass(frozen=True)
class Decided:
    """What follows from a budget and the night's roles.

    Attributes:
        users: all users.
        ranked: of them, who are treated by their score if the budget reaches them.
        explorers: of them, who are treated whatever their score.
        size: of the list; more than there are ranked users and explorers where the budget asks for it.
        share: of all users, what the threshold is looked up for.
        treated: how many of either kind are.
    """

    users: int
    ranked: int
    explorers: int
    size: int
    share: float
    treated: Quota


def decide(  # noqa: PLR0913 - whose list, by what, how large
    db: Warehouse, folder: ExperimentFolder, key: ListKey, *, arm: str, learner: str, budget: Budget
) -> Decided:
    """Give every user a role, and divide the budget among them.

    Raises:
        DataError: as ``write_treat_list``.
    """
    users = _check_scores(db, folder, arm, learner)
    size = budget.size(users)
    write_roles(db, folder, key, arm=arm, learner=learner, money=size is None)
    _check_roles(db, folder, money=size is None)
    ranked, explorers = db.one(
        f"select count(*) filter (role = 'ranked'), count(*) filter (role = 'explore') from {ROLES}"
    )
    if size is None:
        size = _affordable(db, budget.amount, ranked, explorers)
    share = budget.share if budget.share is not None else size / users
    return Decided(users, ranked, explorers, size, share, quota(size, ranked, explorers))


def record(
    db: Warehouse,
    folder: ExperimentFolder,
    key: ListKey,
    decided: Decided,
    labels: Mapping[str, object],
) -> None:
    """Replace a list in the ledger by what was decided.

    Args:
        db: the warehouse, with the roles that ``decide`` gave.
        folder: the experiment.
        key: which list.
        decided: sizes.
        labels: arm, learner, threshold, model_version and feature_snapshot, the same for all users.
    """
    rules, treated = folder.experiment.decisions, decided.treated
    binds = {
        **asdict(key),
        **labels,
        **_cut(db, treated),
        "budget": decided.share,
        "size": decided.size,
        "ranked": decided.ranked,
        "explorers": decided.explorers,
        "explore_share": treated.explorers / decided.explorers if decided.explorers else 0.0,
        "holdout": rules.holdout,
        "explore": rules.explore,
    }
    db.rows(f"delete from {TREAT_LIST} where {THIS_LIST}", asdict(key))
    places = render("decisions/places.sql", roles=ROLES)
    sql = render("decisions/treat_list.sql", roles=ROLES, places=Identifier(places))
    db.rows(f"insert into {TREAT_LIST} by name {sql}", binds)
    found = db.one(
        f"select count(*), count(*) filter (treated) from {TREAT_LIST} where {THIS_LIST}", asdict(key)
    )
    expected = decided.users, treated.ranked + treated.explorers
    if found != expected:
        raise DataError(
            f"{key.experiment}: the list holds {found[0]} of {expected[0]} users and treats {found[1]} "
            f"of {expected[1]}; nothing was written"
        )


def _check_scores(db: Warehouse, folder: ExperimentFolder, arm: str, learner: str) -> int:
    column = SCORES[learner]
    users, odd, first = db.one(
        f"select count(*), count(*) filter (not odd.finite), min(user_id) filter (not odd.finite) from ("
        f"select user_id, coalesce(isfinite({Identifier.of(column)}), false) as finite "
        f"from {folder.listed.scores} where arm = $arm) as odd",
        {"arm": arm},
    )
    if odd:
        raise DataError(
            f"{folder.name}: column '{column}' of {odd} users, the first of them user_id {first}, is "
            "not finite; correct the features or the model and materialize scores anew"
        )
    return int(users)


def write_roles(  # noqa: PLR0913 - whose, with what
    db: Warehouse, folder: ExperimentFolder, key: ListKey, *, arm: str, learner: str, money: bool
) -> None:
    """Make the temporary table of roles, see ``sql/decisions/roles.sql``."""
    rules, experiment = folder.experiment.decisions, folder.experiment
    cap = rules.contact_cap
    own = {
        name: Identifier.of(column) if column else None
        for name, column in (("cost_column", rules.cost_column), ("value_column", rules.value_column))
    }
    sql = render(
        "decisions/roles.sql",
        scores=folder.listed.scores,
        raw=folder.listed.raw,
        score=Identifier.of(SCORES[learner]),
        suppressions=SUPPRESSIONS,
        treat_list=TREAT_LIST,
        **own,
    )
    binds = asdict(key) | {
        "arm": arm,
        "salt": experiment.split.salt,
        "money": money,
        "holdout": rules.holdout,
        "explore": rules.explore,
        "cap": cap.treatments if cap else NO_CAP,
        "cap_days": cap.days if cap else 1,
    }
    if not rules.cost_column:
        binds["cost"] = experiment.arm(arm).cost
    if not rules.value_column:
        binds["value"] = experiment.outcome(experiment.defaults.outcome).value
    db.create_temporary(ROLES, sql, binds)


def _check_roles(db: Warehouse, folder: ExperimentFolder, *, money: bool) -> None:
    """Refuse costs and values that cannot be meant; without money at stake a value may be missing."""
    rules = folder.experiment.decisions
    own = {"cost": rules.cost_column, "value": rules.value_column}
    for name, column in own.items():
        wrong = f"{name} is null or not isfinite({name}) or {name} < 0"
        if money:
            wrong += f" or {name} = 0"
        count, first = db.one(f"select count(*), min(user_id) from {ROLES} where {wrong}")
        if count and column:
            least = "above 0, which money needs" if money else "0 or more"
            raise DataError(
                f"{folder.name}: column '{column}', the {name} of treating a user, is missing or "
                f"not {least} at user_id {first} and {count - 1} more; correct the file "
                "or the declaration"
            )
        if count and money:
            raise DataError(
                f"{folder.name}: a budget in money needs the arm's cost and the outcome's value, both "
                "above 0; declare them in experiment.toml"
            )


def _affordable(db: Warehouse, amount: float, ranked: int, explorers: int) -> int:
    sql = render("decisions/places.sql", roles=ROLES)
    db.create_temporary(PLACES, sql, {"ranked": ranked, "explorers": explorers})
    sql = render("decisions/affordable.sql", places=PLACES)
    return int(db.one(sql, {"amount": amount})[0])


def _cut(db: Warehouse, treated: Quota) -> Mapping[str, object]:
    rows = db.rows(render("decisions/cut.sql", roles=ROLES), {"treated": treated.ranked})
    priority, tie, share = rows[0] if rows else (math.inf, 0, 0.0)
    return {"cut_priority": priority, "cut_tie": tie, "cut_share": share}


def _feature_snapshot(db: Warehouse, folder: ExperimentFolder) -> str:
    """What the scored features were made of: the source file and the feature SQL."""
    (source,) = db.one("select sha256 from raw.registry where experiment = $name", {"name": folder.name})
    (sql,) = db.one(
        "select any_value(sql_sha256) from features.registry where experiment = $name",
        {"name": folder.name},
    )
    return sha256(f"{source}{sql}".encode()).hexdigest()[:12]
