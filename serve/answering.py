"""The parts of an answer that describe each user, for JSON and for Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from serve.best_arm import known_price
from serve.known_users import Known
from serve.schemas.answers import Alternative, BestArmPolicy, Listed, PublishedList
from serve.scoring import Job, Scored

# A batch answer's columns: name in Arrow -> name in JSON.
COLUMNS = {
    "score": "scores",
    "response": "responses",
    "cate_std_error": "cate_std_errors",
    "treat": "treat",
    "score_treat": "score_treat",
    "role": "roles",
    "reason": "reasons",
    "listed_decision": "listed_decisions",
    "listed_treated": "listed_treated",
    "listed_rank": "listed_ranks",
    "listed_reason": "listed_reasons",
    "arm": "arms",
}


# Arrow types of the columns that may hold null.
TYPES = {
    **dict.fromkeys(("role", "reason", "listed_decision", "listed_reason", "arm"), pa.string()),
    "listed_treated": pa.bool_(),
    "listed_rank": pa.int64(),
}


def list_of(known: Known | None) -> PublishedList | None:
    """Describe the newest list about the arm; None if there is none."""
    return None if known is None or known.newest is None else PublishedList(**vars(known.newest))


def listed(known: Known | None) -> Listed | None:
    """Return what the newest list says about the first user; None if the user is not on it."""
    if known is None or known.newest is None or known.listed["decision"][0] is None:
        return None
    row = {name: column[0] for name, column in known.listed.items()}
    return Listed(**vars(known.newest), **row)


def best_arm_of(job: Job) -> BestArmPolicy | None:
    """Describe the policy that decides; None if the best arm was not requested."""
    best = job.best
    if best is None:
        return None
    return BestArmPolicy(
        decider=best.decider,
        word=best.word,
        reason=best.reason,
        judged_at=best.judged_at,
        price=known_price(best.price),
    )


def arm_of(job: Job, scored: Scored) -> str:
    """Return the arm that the answer about the first user is about."""
    choice = scored.choice
    return choice.arms[choice.shown[0]] if choice is not None and job.chooses else job.arm


def top_share(job: Job, scored: Scored) -> float:
    """Return the share of held-out users who would be treated before or with the first user."""
    choice, policies = scored.choice, job.model.arm_policies
    if choice is not None and policies is not None and job.chooses:
        return policies.prices.share_from(float(choice.slope[0]))
    return job.holdout.share_from(float(scored.score[0]))


def alternatives_of(job: Job, scored: Scored) -> list[Alternative] | None:
    """Describe every arm for the first user; None if the best arm was not requested."""
    best, choice = job.best, scored.choice
    if best is None or choice is None:
        return None
    return [
        Alternative(
            arm=arm,
            learner=best.learners[a],
            score=float(choice.score[0, a]),
            effect=float(choice.effect[0, a]),
            cost=float(best.costs[a]),
            net_value=None
            if best.value is None
            else best.value * float(choice.effect[0, a]) - float(best.costs[a]),
        )
        for a, arm in enumerate(best.arms)
    ]


def columns_of(scored: Scored) -> dict[str, npt.NDArray[Any]]:
    """Return the answer about each user: columns by their names in Arrow, each of shape (n,).

    Users who were sent by attributes have the columns score, response and treat only, arm if the best
    arm was requested, and cate_std_error if the model has bags.
    """
    columns: dict[str, npt.NDArray[Any]] = {
        "score": scored.score,
        "response": scored.response,
        "treat": scored.treat,
    }
    known, choice = scored.known, scored.choice
    if scored.std_error is not None:
        columns["cate_std_error"] = scored.std_error
    if choice is not None:
        columns["arm"] = np.asarray([*choice.arms, None], object)[choice.given]  # NO_ARM is the last
    if known is None:
        return columns
    return columns | {
        "score_treat": scored.score_treats,
        "role": known.role,
        "reason": scored.reasons,
        **{f"listed_{name}": column for name, column in known.listed.items()},
    }


def arrow_table(columns: Mapping[str, npt.NDArray[Any]]) -> pa.Table:
    """Make an Arrow table of these columns; a value that is not known is null."""
    return pa.table({name: pa.array(column, TYPES.get(name)) for name, column in columns.items()})
