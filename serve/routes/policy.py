"""``/policy``: the value of a budget."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool

from serve import problems
from serve.arm_sweep import ArmSweep, arm_sweep
from serve.dependencies import CurrentFollower, CurrentRelease
from serve.policy import Policy, Valuation, policy
from serve.routes.batch import QueryTarget
from serve.schemas.requests import Label

router = APIRouter(tags=["policy"], prefix="/policy", responses=problems.COMMON)
Outcome = Annotated[
    Label | None, Query(description="If left out, the outcome that the learners were fitted on.")
]
MAX_MONEY = 1e9
COST = "Cost of treating one user; the declared one if left out."
VALUE = "Value of one unit of the outcome; the declared one if left out."
Cost = Annotated[float | None, Query(ge=0, le=MAX_MONEY, description=COST)]
Value = Annotated[float | None, Query(ge=-MAX_MONEY, le=MAX_MONEY, description=VALUE)]


async def query_valuation(outcome: Outcome = None, cost: Cost = None, value: Value = None) -> Valuation:
    """Read the outcome, cost and value from the query."""
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
    """Return threshold, treat rate, held-out value and profit at one budget, or at the declared one."""
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
    """Return the figures of /policy at every whole percent; a budget in the query is ignored."""
    every = target.model_copy(update={"budget": None})
    return await _policy(request, every, release, follower, valuation)


@router.get("/arms")
async def arms(
    request: Request,
    release: CurrentRelease,
    follower: CurrentFollower,
    experiment: Annotated[Label | None, Query()] = None,
    outcome: Outcome = None,
) -> ArmSweep:
    """Return, by budget, how several arms share it and what choosing each user's arm gains."""
    return await run_in_threadpool(
        arm_sweep,
        release,
        experiment,
        outcome,
        stale=follower.is_stale(release),
        request_id=request.state.request_id,
    )


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
