"""``/explain``: what makes this user's predicted effect?"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from serve import problems
from serve.dependencies import CurrentFollower, CurrentRelease
from serve.explanation import Explanation, explain
from serve.routes.score import job_of
from serve.schemas.requests import ScoreRequest

router = APIRouter(tags=["score"], responses=problems.COMMON)


@router.post("/explain")
async def explain_score(
    request: Request, body: ScoreRequest, release: CurrentRelease, follower: CurrentFollower
) -> Explanation:
    """Contributions of the features that add up to the user's predicted effect (TreeSHAP).

    Where S or T predict probabilities, contributions to log odds are rescaled until they add up.
    """
    job = job_of(release, body)
    return await run_in_threadpool(
        explain, job, stale=follower.is_stale(release), request_id=request.state.request_id
    )
