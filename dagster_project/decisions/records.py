"""The records of a night's list: its key, its tables and its row."""

from __future__ import annotations

from dataclasses import dataclass

from dagster_project.warehouse.sql import Identifier

TREAT_LIST = Identifier.of("decisions", "treat_list")
NIGHTS = Identifier.of("decisions", "nights")
GATES = Identifier.of("decisions", "gates")
REALISED = Identifier.of("decisions", "realised")
NIGHT_ARMS = Identifier.of("decisions", "night_arms")
REALISED_ARMS = Identifier.of("decisions", "realised_arms")
OUTCOMES = Identifier.of("decisions", "outcomes")
OUTCOME_FILES = Identifier.of("decisions", "outcome_files")
MEASURED = Identifier.of("decisions", "measured")
REALISED_OVER_TIME = Identifier.of("decisions", "realised_over_time")
LIST_RULES = Identifier.of("decisions", "list_rules")
THIS_LIST = "decision_date = $decision_date::date and experiment = $experiment and campaign = $campaign"


@dataclass(frozen=True)
class ListKey:
    """The key of a list: a campaign and a date.  ``decision_date`` is YYYY-MM-DD."""

    decision_date: str
    experiment: str
    campaign: str


@dataclass(frozen=True)
class Night:
    """One row of ``decisions.nights``; the table's comments explain the columns."""

    decision_date: str
    experiment: str
    campaign: str
    arm: str
    learner: str
    model_version: str
    feature_snapshot: str
    budget_kind: str
    budget_asked: float
    budget_used: float
    users: int
    eligible: int
    treated: int
    explored: int
    holdout: int
    suppressed: int
    spent: float
    realised_rate: float
    threshold: float
    expected_rate: float
    threshold_rate: float
    promised: float | None
    promised_std_error: float | None
    previous_date: str | None
    entered: int
    exited: int
    override: str | None
    reach: float | None = None
    reach_std_error: float | None = None
    changed_arm: int | None = None
    usual: int | None = None
    explored_near: int | None = None
    exploration_loss: float | None = None
    exploration_loss_std_error: float | None = None
