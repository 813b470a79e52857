"""The nightly decision: whom to treat within a budget."""

from __future__ import annotations

from dagster_project.champion import deciding_learner
from dagster_project.folders import ExperimentFolder
from dagster_project.models import current_version
from dagster_project.predictions import SCORES
from dagster_project.sqlfiles import Identifier, render
from dagster_project.thresholds import threshold_rows
from dagster_project.warehouse import Warehouse
from uplift_core.budget import list_size
from uplift_core.errors import DataError

TREAT_LIST = Identifier.of("decisions", "treat_list")


def write_treat_list(
    db: Warehouse, folder: ExperimentFolder, *, decision_date: str, arm: str, budget: float
) -> int:
    """Replace one date's list by the best round(budget * N) users; returns how many are treated."""
    folder.experiment.contrast(arm)
    learner = deciding_learner(db, folder, arm)
    (users,) = db.one(f"select count(*) from {folder.tables.scores} where arm = $arm", {"arm": arm})
    size = list_size(budget, users)
    key = {"decision_date": decision_date, "experiment": folder.name, "arm": arm}
    db.rows(
        f"delete from {TREAT_LIST} where decision_date = $decision_date::date "
        "and experiment = $experiment and arm = $arm",
        key,
    )
    sql = render(
        "decisions/treat_list.sql",
        scores=folder.tables.scores,
        score=Identifier.of(SCORES[learner]),
    )
    binds = key | {
        "learner": learner,
        "budget": budget,
        "size": size,
        "threshold": _threshold(db, folder, arm, learner, budget),
        "model_version": current_version(db, folder.name),
        "salt": folder.experiment.split.salt,
    }
    db.rows(f"insert into {TREAT_LIST} by name {sql}", binds)
    (treated,) = db.one(
        f"select count(*) from {TREAT_LIST} where decision_date = $decision_date::date "
        "and experiment = $experiment and arm = $arm and decision = 'treat'",
        key,
    )
    if treated != size:
        raise DataError(f"{folder.name}: the list treats {treated} users, the budget is {size}")
    return size


def _threshold(db: Warehouse, folder: ExperimentFolder, arm: str, learner: str, budget: float) -> float:
    rows = threshold_rows(db, folder, arms=[arm], learners=[learner], budgets=[budget])
    return float(rows[0]["threshold"])
