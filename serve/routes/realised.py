"""``/realised``: what campaigns promised and realised over their nights."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from serve import problems
from serve.dependencies import CurrentRelease
from serve.release import Release
from serve.schemas.requests import Label

NIGHTS = 400  # the newest measured nights of each campaign, outcome and comparison
CUMULATIVE = """
from decisions.realised_over_time
where experiment = $experiment
qualify $nights >= row_number() over (
    partition by campaign, outcome, comparison order by decision_date desc
)
order by campaign, outcome, comparison, decision_date
"""
Row = dict[str, Any]
router = APIRouter(tags=["evidence"], responses=problems.COMMON)


class Realised(BaseModel):
    """Promised and realised uplift of an experiment's campaigns over their measured nights."""

    model_config = ConfigDict(frozen=True)

    experiment: str
    over_time: list[Row] = Field(
        description=f"Cumulative figures until each measured night, at most the newest {NIGHTS}. "
        "ci_low and ci_high hold the truth in 95 % of campaigns at one night, sequence_low and "
        "sequence_high on all nights at once. comparison is list (treated for their score against the "
        "holdout group), explore (treated by chance against the holdout group), choosing (list less "
        "explore) or usual (list less the old rule)."
    )


@router.get("/realised")
async def realised(
    release: CurrentRelease, experiment: Annotated[Label | None, Query()] = None
) -> Realised:
    """Return what lists promised and did, over all measured nights; empty if none is measured."""
    return await run_in_threadpool(_realised, release, release.model(experiment).experiment.name)


def _realised(release: Release, name: str) -> Realised:
    return Realised(
        experiment=name,
        over_time=release.snapshot.rows_if_published(
            "decisions.realised_over_time", CUMULATIVE, {"experiment": name, "nights": NIGHTS}
        ),
    )
