"""``/score``: treat this user or not?"""

from __future__ import annotations

from uuid import uuid4

from fastapi import APIRouter, Request, Response

from serve import problems
from serve.dependencies import CurrentFollower, CurrentRelease, CurrentScorer, CurrentTelemetry
from serve.scoring import Decision, Job, ScoreRequest, resolve

router = APIRouter(tags=["score"], responses=problems.COMMON)


def job_of(release: CurrentRelease, body: ScoreRequest) -> Job:
    """One user's job."""
    if body.attributes is not None:
        return resolve(release, body, rows=[body.attributes])
    return resolve(release, body, users=[body.user_id or 0])


@router.post("/score", response_model=Decision)
async def score(  # noqa: PLR0913, PLR0917 - what FastAPI hands over
    request: Request,
    body: ScoreRequest,
    release: CurrentRelease,
    follower: CurrentFollower,
    scorer: CurrentScorer,
    telemetry: CurrentTelemetry,
) -> Response:
    """Score one user and decide at a budget, as the nightly batch would."""
    job = job_of(release, body)
    scored = await scorer.score(job)
    decision_id, request_id = uuid4().hex, request.state.request_id
    telemetry.decided(job, scored, decision_id, request_id)
    user = body.user_id
    decision = Decision(
        **job.labels(),
        stale=follower.is_stale(release),
        request_id=request_id,
        decision_id=decision_id,
        decision="treat" if scored.treat[0] else "no_treat",
        score=float(scored.score[0]),
        response=float(scored.response[0]),
        role=None if user is None else release.snapshot.role(job.model.experiment, user),
    )
    return Response(decision.model_dump_json(), media_type="application/json")
