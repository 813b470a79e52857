"""Why a user's predicted effect is what it is: contributions of the features that add up to it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from serve.schemas.answers import Answer
from serve.scoring import Job, features_of


class Contribution(BaseModel):
    """What one feature adds to the effect."""

    model_config = ConfigDict(frozen=True)

    feature: str
    value: float | None = Field(description="The feature's value; null: missing.")
    contribution: float


class Explanation(Answer):
    """Base value and contributions add up to the score, up to float32's rounding."""

    score: float
    base: float = Field(description="The effect before any feature is known.")
    contributions: list[Contribution] = Field(description="The largest first, by size.")


def explain(job: Job, *, stale: bool, request_id: str) -> Explanation:
    """Contributions of one user's features, by the learner that is asked for or decides."""
    model = job.model.bundle.models[job.arm]
    x = features_of([job])
    found = model.contributions(x, job.learner)
    parts = [
        Contribution(
            feature=name,
            value=None if value != value else float(value),  # noqa: PLR0124 - NaN
            contribution=float(part),
        )
        for name, value, part in zip(job.model.features.names, x[0], found[0, :-1], strict=True)
    ]
    return Explanation(
        **job.labels(),
        stale=stale,
        request_id=request_id,
        score=float(model.predict(x, job.learner)[0]),
        base=float(found[0, -1]),
        contributions=sorted(parts, key=lambda part: -abs(part.contribution)),
    )
