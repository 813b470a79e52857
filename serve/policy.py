"""What acting on the scores is worth at a budget, by held-out users."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from serve.answers import EVIDENCE
from serve.release import Release
from serve.scoring import Target
from uplift_core.budget import Distribution
from uplift_core.evaluation.estimate import Z95
from uplift_core.evaluation.gate import Word


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
    net_value: float | None = Field(description="In money, less the cost; where both are declared.")
    net_std_error: float | None


class Policy(BaseModel):
    """Policies of one contrast and learner, beside random targeting and the response model."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    experiment: str
    arm: str
    learner: str
    outcome: str
    evidence: Word = Field(description=EVIDENCE)
    evidence_reason: str
    model_version: str
    snapshot_id: str
    n_holdout: int = Field(description="Held-out users, whose scores the thresholds are of.")
    n_evaluated: int = Field(description="Held-out users of the two arms, whom the values are of.")
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


def policy(
    release: Release, target: Target, *, stale: bool, request_id: str, outcome: str | None = None
) -> Policy:
    """The policy at the target's budget, or at every whole percent where it is None.

    Raises:
        RequestError: the target names something that the release does not know.
    """
    model = release.model(target.experiment)
    arm = model.arm(target.arm)
    learner = model.learner(target.learner, arm)
    name = model.experiment.name
    wanted = model.outcome(outcome)
    held = release.snapshot.holdout(name, arm, learner)

    def rows(ranking: str, held: Distribution | None) -> list[PolicyRow]:
        binds = {"experiment": name, "arm": arm, "outcome": wanted, "learner": ranking}
        found = release.snapshot.rows(SQL, binds)
        if target.budget is None:
            return [_row(figures, figures["budget"], held) for figures in found]
        asked = target.budget
        nearest = sorted(found, key=lambda figures: abs(figures["budget"] - asked))[:1]
        return [_row(figures, asked, held) for figures in nearest]

    binds = {"experiment": name, "arm": arm, "outcome": wanted, "learner": learner}
    evaluated = release.snapshot.rows(f"select max(n) as n from ({SQL})", binds)[0]["n"]
    return Policy(
        experiment=name,
        arm=arm,
        learner=learner,
        outcome=wanted,
        evidence=model.evidence[arm, learner].word,
        evidence_reason=model.evidence[arm, learner].reason,
        model_version=model.bundle.version,
        snapshot_id=release.snapshot.snapshot_id,
        n_holdout=held.n_users,
        n_evaluated=evaluated or 0,
        stale=stale,
        request_id=request_id,
        rows=rows(learner, held),
        response_model=rows("response", None),
    )


def _row(figures: Mapping[str, float], budget: float, held: Distribution | None) -> PolicyRow:
    threshold = held.threshold(budget) if held else math.inf
    gain, error = figures["gain_over_random"], figures["gain_std_error"]
    return PolicyRow(
        budget=budget,
        threshold=threshold if math.isfinite(threshold) else None,
        expected_treat_rate=held.share_from(threshold) if held else budget,
        evaluated_at=figures["budget"],
        value=figures["value"],
        value_ci_low=figures["ci_low"],
        value_ci_high=figures["ci_high"],
        gain_over_random=gain,
        gain_ci_low=gain - Z95 * error,
        gain_ci_high=gain + Z95 * error,
        incremental=figures["incremental"],
        incremental_std_error=figures["incremental_std_error"],
        net_value=figures["net_value"],
        net_std_error=figures["net_std_error"],
    )
