"""``/explain``: why one user's predicted effect is what it is."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from serve import problems
from serve.best_arm import BEST
from serve.dependencies import CurrentFollower, CurrentRelease
from serve.errors import RequestError
from serve.explanation import Explanation, explain
from serve.routes.score import job_of
from serve.schemas.requests import ScoreRequest

router = APIRouter(tags=["score"], responses=problems.COMMON)


@router.post("/explain")
async def explain_score(
    request: Request, body: ScoreRequest, release: CurrentRelease, follower: CurrentFollower
) -> Explanation:
    """Return the contributions of the features; they add up to the user's predicted effect (TreeSHAP).

    If S or T predict probabilities, contributions to log odds are rescaled so that they add up.
    """
    if body.arm == BEST:
        raise RequestError(f"arm = '{BEST}': an explanation is about one arm; name it")
    job = job_of(release, body)
    return await run_in_threadpool(
        explain, job, stale=follower.is_stale(release), request_id=request.state.request_id
    )
