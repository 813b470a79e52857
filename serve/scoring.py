"""From a user's attributes and a budget to a decision."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from serve.release import Release

Label = Annotated[str, Field(max_length=64)]


class ScoreRequest(BaseModel):
    """Who is asked about, and under which budget. What is left out is the experiment's default."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "experiment": "hillstrom",
                    "attributes": {
                        "recency": 3,
                        "history": 240.5,
                        "mens": 0,
                        "womens": 1,
                        "newbie": 0,
                        "zip_code": "Urban",
                        "channel": "Web",
                    },
                    "budget": 0.3,
                }
            ]
        },
    )

    experiment: Label | None = Field(
        None, description="May be left out where only one experiment is published."
    )
    attributes: dict[str, Any] = Field(
        description="Every raw column that the features are computed from; null: not known."
    )
    budget: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="Share of all users that may be treated."
    )
    arm: Label | None = Field(None, description="The treatment to decide about.")
    learner: Label | None = Field(None, description="s, t, x, r or dr.")


class Decision(BaseModel):
    """The answer, and all that is needed to repeat it."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    decision: Literal["treat", "no_treat"]
    score: float = Field(description="Predicted effect on the outcome (CATE), a float32.")
    threshold: float | None = Field(
        description="Score from which on users are treated, a float32; null: nobody is."
    )
    budget: float
    arm: str
    learner: str
    outcome: str
    experiment: str
    model_version: str
    snapshot_id: str
    response: float = Field(description="Predicted outcome under control, a float32.")


def decide(release: Release, request: ScoreRequest) -> Decision:
    """Decide about one user: treat if the score reaches the budget's threshold, on float32.

    Raises:
        RequestError: the request names or holds something that the release does not know.
    """
    model = release.model(request.experiment)
    experiment = model.experiment
    arm, learner = model.arm(request.arm), model.learner(request.learner)
    budget = experiment.defaults.budget if request.budget is None else request.budget
    x = model.features.features(request.attributes)
    contrast = model.bundle.models[arm]
    score = contrast.predict(x, learner)[0]
    threshold = release.snapshot.threshold(experiment.name, arm, learner, budget)
    return Decision(
        decision="treat" if score >= np.float32(threshold) else "no_treat",
        score=float(score),
        threshold=threshold if math.isfinite(threshold) else None,  # infinity is no JSON
        budget=budget,
        arm=arm,
        learner=learner,
        outcome=model.bundle.manifest.outcome,
        experiment=experiment.name,
        model_version=model.bundle.version,
        snapshot_id=release.snapshot.snapshot_id,
        response=float(contrast.predict_response(x)[0]),
    )
