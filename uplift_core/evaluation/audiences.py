"""Divide users by what they do without the treatment, and by what it is predicted to change.

Of each of the four audiences the effect is measured on held-out users, whatever was predicted. The names
of marketing (persuadables, sure things, lost causes) are about single users, whom nobody can observe;
these are groups of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.evaluation.gate import RESPONSE
from uplift_core.evaluation.groups import JointGroups
from uplift_core.evaluation.policy import effect_within

LOW, HIGH = "low", "high"


def audience_rows(joint: JointGroups, learner: str, budget: float) -> Iterator[dict[str, Any]]:
    """Yield the audiences that have users.

    Args:
        joint: held-out users of one contrast, ranked by ``learner`` and by the response model.
        learner: the ranking whose predicted effects divide the users.
        budget: share of users that a list treats.

    Yields:
        ``baseline`` and ``predicted_effect``: ``high`` above the users' median, else ``low``; users
        (``n``), their share and mean predicted response without treatment; effect and standard error;
        and which share of them a list by the learner, by the response model, and both would treat. Where
        a budget cuts users of equal scores, these shares are expectations.
    """
    response = np.asarray(joint.scores[RESPONSE], dtype=np.float64)
    baseline, effect = (_above_median(joint, name) for name in (RESPONSE, learner))
    by_learner, by_response = (_treated(joint, name, budget) for name in (learner, RESPONSE))
    for (base, high_base), (predicted, high_effect) in product(((LOW, False), (HIGH, True)), repeat=2):
        inside = (baseline == high_base) & (effect == high_effect)
        n = joint.n * inside
        if not n.sum() > 0:
            continue
        measured = effect_within(joint, inside)
        mean = n / n.sum()
        yield {
            "learner": learner,
            "baseline": base,
            "predicted_effect": predicted,
            "n": round(float(n.sum())),
            "share": float(n.sum() / joint.n.sum()),
            "response": float(mean @ response),
            "effect": measured.value,
            "std_error": measured.std_error,
            "listed": float(mean @ by_learner),
            "listed_by_response": float(mean @ by_response),
            "listed_by_both": float(mean @ (by_learner * by_response)),
        }


def _above_median(joint: JointGroups, name: str) -> npt.NDArray[np.bool_]:
    """Whether the users of each group are above the median of a ranking's scores."""
    score = np.asarray(joint.scores[name], dtype=np.float64)
    order = np.argsort(score, kind="stable")
    until = np.cumsum(joint.n[order])
    median = score[order][np.searchsorted(until, until[-1] / 2)]
    return np.asarray(score > median)


def _treated(joint: JointGroups, name: str, budget: float) -> Doubles:
    """Return the share of each group that a list by one ranking treats."""
    groups, place = joint.by(name)
    share: Doubles = groups.treated_share(budget)[place]
    return share
