"""The parts of an answer that describe each user, for JSON and for Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from serve.known_users import Known
from serve.schemas.answers import Listed, PublishedList
from serve.scoring import Scored

# A batch answer's columns: name in Arrow -> name in JSON.
COLUMNS = {
    "score": "scores",
    "response": "responses",
    "treat": "treat",
    "score_treat": "score_treat",
    "role": "roles",
    "reason": "reasons",
    "listed_decision": "listed_decisions",
    "listed_treated": "listed_treated",
    "listed_rank": "listed_ranks",
    "listed_reason": "listed_reasons",
}


# Arrow types of the columns that may hold null.
TYPES = {
    **dict.fromkeys(("role", "reason", "listed_decision", "listed_reason"), pa.string()),
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


def columns_of(scored: Scored) -> dict[str, npt.NDArray[Any]]:
    """Return the answer about each user: columns by their names in Arrow, each of shape (n,).

    Users who were sent by attributes have the columns score, response and treat only.
    """
    columns = {"score": scored.score, "response": scored.response, "treat": scored.treat}
    known = scored.known
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
