"""Explain a user's predicted effect by contributions of the features, which add up to it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from serve.schemas.answers import Answer
from serve.scoring import Job, features_of


class Contribution(BaseModel):
    """The amount that one feature adds to the effect."""

    model_config = ConfigDict(frozen=True)

    feature: str
    value: float | None = Field(description="The feature's value; null: missing.")
    contribution: float


class Explanation(Answer):
    """A score and its parts: base and contributions add up to it, except for float32's rounding."""

    score: float
    base: float = Field(description="The effect before any feature is known.")
    contributions: list[Contribution] = Field(description="Largest absolute value first.")


def explain(job: Job, *, stale: bool, request_id: str) -> Explanation:
    """Compute the contributions of one user's features under the job's learner."""
    model = job.model.bundle.models[job.arm]
    x = features_of([job])
    contributions = model.contributions(x, job.learner)
    parts = [
        Contribution(
            feature=name,
            value=None if value != value else float(value),  # noqa: PLR0124 - NaN
            contribution=float(part),
        )
        for name, value, part in zip(job.model.features.names, x[0], contributions[0, :-1], strict=True)
    ]
    return Explanation(
        **job.labels(),
        stale=stale,
        request_id=request_id,
        score=float(model.predict(x, job.learner)[0]),
        base=float(contributions[0, -1]),
        contributions=sorted(parts, key=lambda part: -abs(part.contribution)),
    )
