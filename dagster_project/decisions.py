"""The nightly decision: whom to treat within a budget."""

from __future__ import annotations

from dataclasses import dataclass

from dagster_project.champion import deciding_learner
from dagster_project.folders import ExperimentFolder
from dagster_project.models import current_version
from dagster_project.predictions import SCORES
from dagster_project.sqlfiles import Identifier, render
from dagster_project.thresholds import threshold_rows
from dagster_project.warehouse import Warehouse
from uplift_core.budget import Plan, plan_money, plan_share, plan_users
from uplift_core.errors import DataError
from uplift_core.experiment import Experiment

TREAT_LIST = Identifier.of("decisions", "treat_list")
SUPPRESSIONS = Identifier.of("decisions", "suppressions")
THIS_LIST = "decision_date = $decision_date::date and experiment = $experiment and arm = $arm"
NO_CAP = 2**31 - 1  # more treatments than anybody can have had


@dataclass(frozen=True)
class Budget:
    """What may be spent: a share of all users, a number of them, or an amount of money."""

    share: float | None = None
    users: int | None = None
    money: float | None = None

    def plan(self, experiment: Experiment, arm: str, n_users: int) -> Plan:
        """The budget's list for one arm.

        Raises:
            DataError: not exactly one of the three is given, or it cannot be meant.
        """
        given = [name for name in ("share", "users", "money") if getattr(self, name) is not None]
        if self.share is not None and given == ["share"]:
            return plan_share(self.share, n_users)
        if self.users is not None and given == ["users"]:
            return plan_users(self.users, n_users)
        if self.money is not None and given == ["money"]:
            value = experiment.outcome(experiment.defaults.outcome).value
            return plan_money(self.money, n_users, cost=experiment.arm(arm).cost, value=value)
        raise DataError(f"a budget is a share, users or money; given are {given or 'none'}")


def write_treat_list(
    db: Warehouse, folder: ExperimentFolder, *, decision_date: str, arm: str, budget: Budget
) -> int:
    """Replace one date's list; returns how many users are treated.

    That is the budget's size exactly; less only where the holdout, suppressions and, for money, effects
    that are not worth their cost leave fewer.
    """
    folder.experiment.contrast(arm)
    learner = deciding_learner(db, folder, arm)
    (users,) = db.one(f"select count(*) from {folder.tables.scores} where arm = $arm", {"arm": arm})
    plan = budget.plan(folder.experiment, arm, users)
    key = {"decision_date": decision_date, "experiment": folder.name, "arm": arm}
    binds = key | {
        "learner": learner,
        "budget": plan.share,
        "size": plan.size,
        "least_score": plan.least_score,
        "cost": folder.experiment.arm(arm).cost,
        "threshold": _threshold(db, folder, arm, learner, plan.share),
        "model_version": current_version(db, folder.name),
        "salt": folder.experiment.split.salt,
        **_rules(folder),
    }
    db.rows(f"delete from {TREAT_LIST} where {THIS_LIST}", key)
    sql = render(
        "decisions/treat_list.sql",
        scores=folder.tables.scores,
        score=Identifier.of(SCORES[learner]),
        suppressions=SUPPRESSIONS,
        treat_list=TREAT_LIST,
    )
    db.rows(f"insert into {TREAT_LIST} by name {sql}", binds)
    written, eligible, treated = db.one(
        f"select count(*), count(rank), count(*) filter (treated) from {TREAT_LIST} where {THIS_LIST}",
        key,
    )
    expected = min(plan.size, eligible)
    if (written, treated) != (users, expected):
        raise DataError(
            f"{folder.name}: the list holds {written} of {users} users and treats {treated} "
            f"of {expected}; nothing was written"
        )
    return int(treated)


def _rules(folder: ExperimentFolder) -> dict[str, object]:
    rules = folder.experiment.decisions
    cap = rules.contact_cap
    return {
        "holdout": rules.holdout,
        "explore": rules.explore,
        "cap": cap.treatments if cap else NO_CAP,
        "cap_days": cap.days if cap else 1,
    }


def _threshold(db: Warehouse, folder: ExperimentFolder, arm: str, learner: str, budget: float) -> float:
    rows = threshold_rows(db, folder, arms=[arm], learners=[learner], budgets=[budget])
    return float(rows[0]["threshold"])
