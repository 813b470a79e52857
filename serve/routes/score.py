"""``/score``: treat this user or not?"""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter

from serve import problems
from serve.dependencies import CurrentRelease
from serve.scoring import Decision, ScoreRequest, decide

router = APIRouter(tags=["score"])


@router.post(
    "/score",
    responses=problems.responses(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
def score(request: ScoreRequest, release: CurrentRelease) -> Decision:
    """Score one user from raw attributes and decide at a budget, as the nightly batch would."""
    return decide(release, request)
