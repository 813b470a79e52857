"""``/policy``: what a budget is worth."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool

from serve import problems
from serve.dependencies import CurrentFollower, CurrentRelease
from serve.policy import Policy, Valuation, policy
from serve.routes.batch import QueryTarget
from serve.schemas.requests import Label

router = APIRouter(tags=["policy"], prefix="/policy", responses=problems.COMMON)
Outcome = Annotated[Label | None, Query(description="The fitted one if left out.")]
MOST = 1e9  # of money
Cost = Annotated[
    float | None, Query(ge=0, le=MOST, description="Of treating one user; as declared if left out.")
]
Value = Annotated[
    float | None,
    Query(ge=-MOST, le=MOST, description="Of one unit of the outcome; as declared if left out."),
]


async def query_valuation(outcome: Outcome = None, cost: Cost = None, value: Value = None) -> Valuation:
    """What figures are of, and what net values are computed with."""
    return Valuation(outcome, cost, value)


QueryValuation = Annotated[Valuation, Depends(query_valuation)]


@router.get("")
async def at_budget(
    request: Request,
    target: QueryTarget,
    release: CurrentRelease,
    follower: CurrentFollower,
    valuation: QueryValuation,
) -> Policy:
    """Threshold, treat rate, held-out value and profit at one budget; the declared one if left out."""
    budget = target.budget
    if budget is None:
        budget = release.model(target.experiment).experiment.defaults.budget
    at = target.model_copy(update={"budget": budget})
    return await _policy(request, at, release, follower, valuation)


@router.get("/sweep")
async def sweep(
    request: Request,
    target: QueryTarget,
    release: CurrentRelease,
    follower: CurrentFollower,
    valuation: QueryValuation,
) -> Policy:
    """The same at every whole percent; a budget in the query makes no difference."""
    every = target.model_copy(update={"budget": None})
    return await _policy(request, every, release, follower, valuation)


async def _policy(
    request: Request,
    target: QueryTarget,
    release: CurrentRelease,
    follower: CurrentFollower,
    valuation: Valuation,
) -> Policy:
    return await run_in_threadpool(
        policy,
        release,
        target,
        valuation,
        stale=follower.is_stale(release),
        request_id=request.state.request_id,
    )
