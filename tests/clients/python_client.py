"""Calls a service by a client that openapi-python-client has made: ``python_client.py URL KEY``."""

from __future__ import annotations

import json
import sys
from typing import TypeVar

from uplift_engine_client import AuthenticatedClient
from uplift_engine_client.api.models import features, models
from uplift_engine_client.api.policy import policy
from uplift_engine_client.api.score import explain, score, score_batch
from uplift_engine_client.models import (
    BatchRequest,
    BatchRequestRowsType0Item,
    Decisions,
    ExperimentFeatures,
    Explanation,
    Policy,
    Problem,
    ScoreAnswer,
    ScoreRequest,
    ScoreRequestAttributesType0,
)

EXPERIMENT = "hillstrom"
Answer = TypeVar("Answer")


def given(answer: object, kind: type[Answer]) -> Answer:
    """The answer, which must be of this kind."""
    assert isinstance(answer, kind), answer
    return answer


def main(url: str, key: str) -> None:
    """Print what was answered, as JSON."""
    api = AuthenticatedClient(base_url=url, token=key, prefix="", auth_header_name="X-API-Key")
    example = given(features.sync(client=api, experiment=EXPERIMENT), ExperimentFeatures).example
    attributes = ScoreRequestAttributesType0.from_dict(example.to_dict())
    row = BatchRequestRowsType0Item.from_dict(example.to_dict())

    def scored(request: ScoreRequest) -> ScoreAnswer:
        return given(score.sync(client=api, body=request), ScoreAnswer)

    def scored_together(request: BatchRequest) -> list[float]:
        return given(score_batch.sync(client=api, body=request), Decisions).scores

    by_attributes = scored(ScoreRequest(experiment=EXPERIMENT, attributes=attributes, budget=0.3))
    by_id, by_text = (scored(ScoreRequest(experiment=EXPERIMENT, user_id=user)) for user in (7, "7"))
    why = explain.sync(client=api, body=ScoreRequest(experiment=EXPERIMENT, attributes=attributes))
    explanation = given(why, Explanation)
    at_budget = given(policy.sync(client=api, experiment=EXPERIMENT, budget=0.3), Policy)
    too_much = ScoreRequest(experiment=EXPERIMENT, attributes=attributes, budget=2)
    refused = score.sync_detailed(client=api, body=too_much)
    problem = given(refused.parsed, Problem)
    parts = (part.contribution for part in explanation.contributions)
    print(  # noqa: T201 - what the test reads
        json.dumps(
            {
                "decision": by_attributes.decision.value,
                "scores": [by_attributes.score, by_id.score, by_text.score],
                "batch": scored_together(BatchRequest(experiment=EXPERIMENT, rows=[row, row])),
                "batch_of_ids": scored_together(BatchRequest(experiment=EXPERIMENT, user_ids=[7, "8"])),
                "explained": explanation.base + sum(parts),
                "threshold": at_budget.rows[0].threshold,
                "models": [model.experiment for model in given(models.sync(client=api), list)],
                "problem": problem.detail,
                "status": int(refused.status_code),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
