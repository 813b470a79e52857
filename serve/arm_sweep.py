"""What a budget over several arms gains on held-out users: how arms share it, which policy decides."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict, Field

from serve.best_arm import known_price
from serve.release import Release
from uplift_core.evaluation.arm_gate import MULTI_ARM
from uplift_core.evaluation.gate import EvidenceStatus


class ArmSweepRow(BaseModel):
    """Figures of one budget: means per held-out user, estimated doubly robustly."""

    model_config = ConfigDict(frozen=True)

    budget: float = Field(
        description="Cost per user over the dearest arm's; the share of users if all arms cost the same."
    )
    decider: str = Field(
        description="multi_arm, an arm or nobody, by train users at the nearest judged budget."
    )
    word: EvidenceStatus = Field(
        description="passed if choosing each user's arm is shown to beat every arm alone, in train."
    )
    price: float | None = Field(
        description="Effect per cost that an arm must reach where each user's arm is chosen; null: "
        "nobody gets one."
    )
    shares: dict[str, float] = Field(
        description="Share of users who get each arm where each user's arm is chosen."
    )
    gain: float = Field(description="Gain of choosing each user's arm over treating nobody.")
    gain_ci_low: float
    gain_ci_high: float
    gains_alone: dict[str, float] = Field(description="Gain of each arm alone for its best users.")
    best_single: str = Field(description="The arm that gains most alone on these users.")
    difference: float = Field(description="What choosing adds to that arm, paired.")
    difference_ci_low: float
    difference_ci_high: float


class ArmSweep(BaseModel):
    """Policies over several arms by budget."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    experiment: str
    outcome: str
    model_version: str
    snapshot_id: str
    n: int = Field(description="Held-out users of all arms.")
    arms: list[str]
    costs: dict[str, float] = Field(description="Cost of each arm; 1 for all if none is declared.")
    stale: bool
    request_id: str
    rows: list[ArmSweepRow]


SQL = (
    "select * from evaluation.multi_arm where experiment = $experiment and outcome = $outcome "
    "and learner = 'deciding' order by budget, policy"
)


def arm_sweep(
    release: Release, experiment: str | None, outcome: str | None, *, stale: bool, request_id: str
) -> ArmSweep:
    """Read the figures of all budgets.

    Raises:
        RequestError: the experiment or outcome is unknown, or its arms were not judged together.
    """
    model = release.model(experiment)
    name, measured = model.experiment.name, model.outcome(outcome)
    found: dict[float, dict[str, dict[str, object]]] = {}
    rows = release.snapshot.rows(SQL, {"experiment": name, "outcome": measured})
    for row in rows:
        found.setdefault(row["budget"], {})[row["policy"]] = row
    shown = []
    for budget, by_policy in found.items():
        row, best = by_policy[MULTI_ARM], model.best_arm(None, budget)
        shown.append(
            ArmSweepRow.model_validate(
                {
                    "budget": budget,
                    "decider": best.decider,
                    "word": best.word,
                    "price": known_price(best.price_if_chosen),
                    "shares": json.loads(str(row["arm_shares"])),
                    "gain": row["gain"],
                    "gain_ci_low": row["ci_low"],
                    "gain_ci_high": row["ci_high"],
                    "gains_alone": {
                        policy: each["gain"] for policy, each in by_policy.items() if policy != MULTI_ARM
                    },
                    "best_single": row["best_single"],
                    "difference": row["difference"],
                    "difference_ci_low": row["difference_ci_low"],
                    "difference_ci_high": row["difference_ci_high"],
                }
            )
        )
    best = model.best_arm(None, model.experiment.defaults.budget)
    return ArmSweep(
        experiment=name,
        outcome=measured,
        model_version=model.bundle.version,
        snapshot_id=release.snapshot.snapshot_id,
        n=int(max((row["n"] for row in rows), default=0)),
        arms=list(best.arms),
        costs=dict(zip(best.arms, best.costs.tolist(), strict=True)),
        stale=stale,
        request_id=request_id,
        rows=shown,
    )
