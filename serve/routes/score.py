"""``/score``: treat this user or not?"""

from __future__ import annotations

from secrets import token_hex

from fastapi import APIRouter, Request, Response

from serve import problems
from serve.answering import listed
from serve.dependencies import newest, only_known_parameters
from serve.direct import DirectRoute
from serve.following import Follower
from serve.release import Release
from serve.schemas.answers import Decision
from serve.schemas.requests import ScoreRequest
from serve.scoring import Job, Scored, resolve

router = APIRouter(route_class=DirectRoute, tags=["score"], responses=problems.COMMON)


def job_of(release: Release, body: ScoreRequest) -> Job:
    """One user's job."""
    if body.attributes is not None:
        return resolve(release, body, rows=[body.attributes])
    return resolve(release, body, users=[body.user_id or 0])


@router.post("/score", response_model=Decision)
async def score(request: Request, body: ScoreRequest) -> Response:
    """Score one user and decide at a budget.

    By `user_id` the answer is about a known user: who is held out or suppressed is never treated,
    whatever the score, and `listed` says what the newest list decided.
    """
    await only_known_parameters(request)
    state = request.app.state
    follower: Follower = state.follower
    release = await newest(follower)
    job = job_of(release, body)
    scored: Scored = await state.scorer.score(job)
    decision_id, request_id = token_hex(16), request.state.request_id
    state.telemetry.decided(job, scored, decision_id, request_id)
    known = scored.known
    decision = Decision(
        **job.labels(),
        stale=follower.is_stale(release),
        request_id=request_id,
        decision_id=decision_id,
        decision="treat" if scored.treat[0] else "no_treat",
        reason=str(scored.reasons[0]),
        score_decision="treat" if scored.score_treats[0] else "no_treat",
        score=float(scored.score[0]),
        response=float(scored.response[0]),
        top_share=job.holdout.share_from(float(scored.score[0])),
        role=None if known is None else known.role[0],
        own_id=None if known is None else release.snapshot.own_id(job.model.experiment, job.users[0]),
        listed=listed(known),
    )
    return Response(decision.model_dump_json(), media_type="application/json")
