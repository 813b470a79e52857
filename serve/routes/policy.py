"""``/policy``: what a budget is worth."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from serve import problems
from serve.dependencies import CurrentFollower, CurrentRelease
from serve.policy import Policy, policy
from serve.routes.batch import QueryTarget
from serve.scoring import Label

router = APIRouter(tags=["policy"], prefix="/policy", responses=problems.COMMON)
Outcome = Annotated[Label | None, Query(description="The fitted one if left out.")]


@router.get("")
async def at_budget(
    request: Request,
    target: QueryTarget,
    release: CurrentRelease,
    follower: CurrentFollower,
    outcome: Outcome = None,
) -> Policy:
    """Threshold, treat rate and held-out value at one budget; the declared one if left out."""
    budget = target.budget
    if budget is None:
        budget = release.model(target.experiment).experiment.defaults.budget
    at = target.model_copy(update={"budget": budget})
    return await _policy(request, at, release, follower, outcome)


@router.get("/sweep")
async def sweep(
    request: Request,
    target: QueryTarget,
    release: CurrentRelease,
    follower: CurrentFollower,
    outcome: Outcome = None,
) -> Policy:
    """The same at every whole percent; a budget in the query makes no difference."""
    every = target.model_copy(update={"budget": None})
    return await _policy(request, every, release, follower, outcome)


async def _policy(
    request: Request,
    target: QueryTarget,
    release: CurrentRelease,
    follower: CurrentFollower,
    outcome: str | None,
) -> Policy:
    return await run_in_threadpool(
        policy,
        release,
        target,
        stale=follower.is_stale(release),
        request_id=request.state.request_id,
        outcome=outcome,
    )
