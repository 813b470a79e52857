"""What acting on the scores is worth at a budget, by held-out users."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from serve.release import Release
from serve.schemas.answers import EVIDENCE
from serve.schemas.requests import Target
from uplift_core.evaluation.estimate import Z95
from uplift_core.evaluation.gate import EvidenceStatus
from uplift_core.evaluation.profit import profit
from uplift_core.targeting.budget import Distribution


class PolicyRow(BaseModel):
    """One budget. Values are means per user of the experiment, by the doubly robust estimate."""

    model_config = ConfigDict(frozen=True)

    budget: float
    threshold: float | None = Field(description="Score from which on users are treated; null: nobody.")
    expected_treat_rate: float = Field(description="Held-out share of users at or above the threshold.")
    evaluated_at: float = Field(description="The whole percent that the figures below are of.")
    value: float
    value_ci_low: float
    value_ci_high: float
    gain_over_random: float
    gain_ci_low: float
    gain_ci_high: float
    incremental: float | None = Field(description="Outcomes per user more than without any treatment.")
    incremental_std_error: float | None
    net_value: float | None = Field(
        description="In money: value of the incremental outcomes less the cost; null without a value."
    )
    net_std_error: float | None
    net_ci_low: float | None
    net_ci_high: float | None
    net_behind_best: float | None = Field(
        description="How much less net_value is than at the ranking's best budget; 0 there."
    )
    net_behind_best_std_error: float | None = Field(
        description="Of the paired difference: both budgets treat nested sets of the same users."
    )


class Policy(BaseModel):
    """Policies of one contrast and learner, beside random targeting and the response model."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    experiment: str
    arm: str
    learner: str
    outcome: str
    evidence: EvidenceStatus = Field(description=EVIDENCE)
    evidence_reason: str
    model_version: str
    snapshot_id: str
    n_holdout: int = Field(description="Held-out users, whose scores the thresholds are of.")
    n_evaluated: int = Field(description="Held-out users of the two arms, whom the values are of.")
    cost: float = Field(description="Of treating one user, in money: as asked for, or as declared.")
    value: float | None = Field(description="Of one unit of the outcome, likewise; null: none is known.")
    best_budget: float | None = Field(
        description="Where net_value is largest among the whole percents, by the estimate."
    )
    stale: bool
    request_id: str
    rows: list[PolicyRow]
    response_model: list[PolicyRow] = Field(
        description="The same if users were ranked by their predicted outcome without treatment."
    )


SQL = (
    "select * from evaluation.policy_value where experiment = $experiment and arm = $arm "
    "and outcome = $outcome and learner = $learner and estimator = 'aipw' order by budget"
)
Figures = Mapping[str, float]


@dataclass(frozen=True)
class Valuation:
    """An outcome, what a unit of it is worth and what a treatment costs; None: as declared."""

    outcome: str | None = None
    cost: float | None = None
    value: float | None = None


def policy(
    release: Release, target: Target, valuation: Valuation, *, stale: bool, request_id: str
) -> Policy:
    """The policy at the target's budget, or at every whole percent where it is None.

    Raises:
        RequestError: the target names something that the release does not know.
    """
    model = release.model(target.experiment)
    arm = model.arm(target.arm)
    learner = model.learner(target.learner, arm)
    name = model.experiment.name
    measured = model.outcome(valuation.outcome)
    declared = model.experiment.outcome(measured).value
    cost = model.experiment.arm(arm).cost if valuation.cost is None else valuation.cost
    value = declared if valuation.value is None else valuation.value
    holdout = release.snapshot.holdout(name, arm, learner)

    def figures_of(ranking: str) -> list[tuple[Figures, _Net]]:
        binds = {"experiment": name, "arm": arm, "outcome": measured, "learner": ranking}
        measured_rows = release.snapshot.rows(SQL, binds)
        return list(zip(measured_rows, _nets(measured_rows, cost, value), strict=True))

    def rows(figures: Sequence[tuple[Figures, _Net]], holdout: Distribution | None) -> list[PolicyRow]:
        if target.budget is None:
            return [_row(each, net, each["budget"], holdout) for each, net in figures]
        budget = target.budget
        nearest = sorted(figures, key=lambda pair: abs(pair[0]["budget"] - budget))[:1]
        return [_row(each, net, budget, holdout) for each, net in nearest]

    ranked = figures_of(learner)
    return Policy(
        experiment=name,
        arm=arm,
        learner=learner,
        outcome=measured,
        evidence=model.evidence[arm, learner].word,
        evidence_reason=model.evidence[arm, learner].reason,
        model_version=model.bundle.version,
        snapshot_id=release.snapshot.snapshot_id,
        n_holdout=holdout.n_users,
        n_evaluated=int(max((each["n"] for each, _ in ranked), default=0)),
        cost=cost,
        value=value,
        best_budget=next((each["budget"] for each, net in ranked if net.behind == 0), None),
        stale=stale,
        request_id=request_id,
        rows=rows(ranked, holdout),
        response_model=rows(figures_of("response"), None),
    )


@dataclass(frozen=True)
class _Net:
    """Net value at one budget; None: no value is known."""

    value: float | None = None
    std_error: float | None = None
    behind: float | None = None
    behind_std_error: float | None = None

    def end(self, errors: float) -> float | None:
        """So many standard errors above the value."""
        if self.value is None or self.std_error is None:
            return None
        return self.value + errors * self.std_error


def _nets(figures: Sequence[Figures], cost: float, value: float | None) -> list[_Net]:
    if value is None or not figures:
        return [_Net() for _ in figures]
    budget, incremental, error = (
        [each[name] for each in figures] for name in ("budget", "incremental", "incremental_std_error")
    )
    net = profit(budget, incremental, error, int(figures[0]["n"]), value=value, cost=cost)
    columns = (net.value, net.std_error, net.behind, net.behind_std_error)
    return [_Net(*(float(column[i]) for column in columns)) for i in range(len(figures))]


def _row(figures: Figures, net: _Net, budget: float, holdout: Distribution | None) -> PolicyRow:
    threshold = holdout.threshold(budget) if holdout else math.inf
    gain, error = figures["gain_over_random"], figures["gain_std_error"]
    return PolicyRow(
        budget=budget,
        threshold=threshold if math.isfinite(threshold) else None,
        expected_treat_rate=holdout.share_from(threshold) if holdout else budget,
        evaluated_at=figures["budget"],
        value=figures["value"],
        value_ci_low=figures["ci_low"],
        value_ci_high=figures["ci_high"],
        gain_over_random=gain,
        gain_ci_low=gain - Z95 * error,
        gain_ci_high=gain + Z95 * error,
        incremental=figures["incremental"],
        incremental_std_error=figures["incremental_std_error"],
        net_value=net.value,
        net_std_error=net.std_error,
        net_ci_low=net.end(-Z95),
        net_ci_high=net.end(Z95),
        net_behind_best=net.behind,
        net_behind_best_std_error=net.behind_std_error,
    )
