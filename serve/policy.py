"""The value of acting on the scores at a budget, measured on held-out users."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from serve.best_arm import BEST
from serve.errors import RequestError
from serve.release import Release
from serve.schemas.answers import EVIDENCE
from serve.schemas.requests import Target
from uplift_core.evaluation.estimate import Z95
from uplift_core.evaluation.gate import EvidenceStatus
from uplift_core.evaluation.profit import Prices, profit_of_rows
from uplift_core.targeting.budget import Distribution


class PolicyRow(BaseModel):
    """Figures at one budget: means per user of the experiment, estimated doubly robustly."""

    model_config = ConfigDict(frozen=True)

    budget: float
    threshold: float | None = Field(
        description="Smallest score that is treated; null: nobody is treated."
    )
    expected_treat_rate: float = Field(description="Share of held-out users at or above the threshold.")
    evaluated_at: float = Field(
        description="The whole percent at which the figures below were measured."
    )
    value: float
    value_ci_low: float
    value_ci_high: float
    gain_over_random: float
    gain_ci_low: float
    gain_ci_high: float
    incremental: float | None = Field(description="Outcomes per user that the treatments add.")
    incremental_std_error: float | None
    net_value: float | None = Field(
        description="In money: value of the incremental outcomes minus the cost; null without a value."
    )
    net_std_error: float | None
    net_ci_low: float | None
    net_ci_high: float | None
    net_behind_best: float | None = Field(
        description="The ranking's largest net_value minus this net_value; 0 at the best budget."
    )
    net_behind_best_std_error: float | None = Field(
        description="Standard error of this paired difference: the two sets of treated users are nested."
    )


class Policy(BaseModel):
    """The policy of one arm and learner, with random targeting and the response model beside it."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    experiment: str
    arm: str
    learner: str
    outcome: str
    evidence: EvidenceStatus = Field(description=EVIDENCE)
    evidence_reason: str
    model_version: str
    snapshot_id: str
    n_holdout: int = Field(description="Held-out users, whose scores give the thresholds.")
    n_evaluated: int = Field(description="Held-out users of the two arms, who give the values.")
    cost: float = Field(description="Cost of treating one user, in money: requested, or declared.")
    value: float | None = Field(
        description="Value of one unit of the outcome, likewise; null: not known."
    )
    best_budget: float | None = Field(
        description="The whole percent with the largest estimated net_value."
    )
    stale: bool
    request_id: str
    rows: list[PolicyRow]
    response_model: list[PolicyRow] = Field(
        description="The same figures for a ranking by the predicted outcome without treatment."
    )


SQL = (
    "select * from evaluation.policy_value where experiment = $experiment and arm = $arm "
    "and outcome = $outcome and learner = $learner and estimator = 'aipw' order by budget"
)
Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Valuation:
    """An outcome, the value of one unit of it, and the cost of a treatment; None: as declared."""

    outcome: str | None = None
    cost: float | None = None
    value: float | None = None


def policy(
    release: Release, target: Target, valuation: Valuation, *, stale: bool, request_id: str
) -> Policy:
    """Compute the policy at the target's budget, or at every whole percent if the budget is None.

    Raises:
        RequestError: the target names something that the release lacks.
    """
    model = release.model(target.experiment)
    if target.arm == BEST:
        raise RequestError(f"arm = '{BEST}': /policy is about one arm; ask /policy/arms, or name an arm")
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
    """Net value at one budget; all None if no value is known."""

    value: float | None = None
    std_error: float | None = None
    behind: float | None = None
    behind_std_error: float | None = None

    def end(self, errors: float) -> float | None:
        """Return the value plus a number of standard errors."""
        if self.value is None or self.std_error is None:
            return None
        return self.value + errors * self.std_error


def _nets(figures: Sequence[Figures], cost: float, value: float | None) -> list[_Net]:
    if value is None or not figures:
        return [_Net() for _ in figures]
    net = profit_of_rows(figures, Prices(value, cost))
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
