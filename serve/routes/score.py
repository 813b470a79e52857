"""``/score``: whether to treat one user."""

from __future__ import annotations

from secrets import token_hex

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from serve import problems
from serve.answering import alternatives_of, arm_of, best_arm_of, listed, top_share
from serve.dependencies import CurrentFollower, CurrentRelease, CurrentTelemetry
from serve.release import Release
from serve.schemas.answers import Decision
from serve.schemas.requests import ScoreRequest
from serve.scoring import Job, Scored, resolve

router = APIRouter(tags=["score"], responses=problems.COMMON)


def job_of(release: Release, body: ScoreRequest) -> Job:
    """Make the job of one user."""
    if body.attributes is not None:
        return resolve(release, body, rows=[body.attributes]).of_clusters([body.cluster])
    return resolve(release, body, users=[] if body.user_id is None else [body.user_id])


@router.post("/score", response_model=Decision)
async def score(
    request: Request,
    body: ScoreRequest,
    release: CurrentRelease,
    follower: CurrentFollower,
    telemetry: CurrentTelemetry,
) -> Response:
    """Score one user and decide at a budget.

    By `user_id` the answer is about a known user: users who are held out or suppressed are never
    treated, whatever their score, and `listed` says what the newest list decided.
    """
    # To find a text among the file's ids takes a query, which must not delay others.
    by_text = isinstance(body.user_id, str)
    job = await to_thread.run_sync(job_of, release, body) if by_text else job_of(release, body)
    scored: Scored = await request.app.state.scorer.score(job)
    decision_id, request_id = token_hex(16), request.state.request_id
    telemetry.decided(job, scored, decision_id, request_id)
    known = scored.known
    decision = Decision(
        **job.labels() | {"arm": arm_of(job, scored)},
        stale=follower.is_stale(release),
        request_id=request_id,
        decision_id=decision_id,
        decision="treat" if scored.treat[0] else "no_treat",
        reason=str(scored.reasons[0]),
        score_decision="treat" if scored.score_treats[0] else "no_treat",
        score=float(scored.score[0]),
        response=float(scored.response[0]),
        cate_std_error=None if scored.std_error is None else float(scored.std_error[0]),
        top_share=top_share(job, scored),
        role=None if known is None else known.role[0],
        own_id=release.snapshot.own_id(job.model.experiment, job.users[0]) if job.users else None,
        listed=listed(known),
        best_arm=best_arm_of(job),
        alternatives=alternatives_of(job, scored),
    )
    # A response, not the model: FastAPI would validate a model once more.
    return Response(decision.model_dump_json(), media_type="application/json")
