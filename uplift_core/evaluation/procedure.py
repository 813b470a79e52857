"""Run the whole procedure on users in memory: fit learners fold after fold, compare, judge them."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Floats
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges, Cells, UserRows, cells_of_rows, distinct
from uplift_core.evaluation.gate import RESPONSE, Verdict, compare, fewer_events, judge
from uplift_core.evaluation.groups import JointGroups, joint_groups
from uplift_core.learners import LEARNER_NAMES, ContrastModel, sequential_fit
from uplift_core.simulation.rct import Simulated

FOLDS = 5


def judge_experiment(  # noqa: PLR0913 - an experiment, and the settings of its judgement
    users: Simulated,
    *,
    propensity: float,
    binary: bool,
    budget: float,
    parameters: LearnerParameters,
    threads: int = 1,
) -> Verdict:
    """Return the gate's verdict on an experiment, as a run would write it to ``models.registry``.

    Args:
        users: all of them are train users; user i is in fold i modulo 5.
        propensity: e, by design.
        binary: whether every outcome is 0 or 1.
        budget: share of users at which the learners are compared.
        parameters: parameters of all boosters.
        threads: number of XGBoost's threads.
    """
    x = users.x.astype(np.float32)
    fold = np.arange(len(x)) % FOLDS
    edges, cells = cells_of_users(
        users, propensity=propensity, binary=binary, max_bins=parameters.max_bins
    )
    binned, place = np.unique(edges.bin(x), axis=0, return_inverse=True)
    folds, judged = [], np.zeros(len(x), dtype=bool)
    for k, model in sequential_fit(cells, parameters, threads):
        rows = fold == k
        inside = Simulated(*(getattr(users, f.name)[rows] for f in fields(Simulated)))
        folds.append(_judged(inside, model, binned, place.ravel()[rows]))
        judged |= rows
    events = fewer_events(users.y[judged], users.w[judged])
    return judge(compare(folds, LEARNER_NAMES, budget), len(x), events, budget)


def cells_of_users(
    users: Simulated, *, propensity: float, binary: bool, max_bins: int
) -> tuple[BinEdges, Cells]:
    """Bin all users and add up those with equal features; user i is in fold i modulo 5."""
    x = users.x.astype(np.float32)
    fold = np.arange(len(x)) % FOLDS
    edges = BinEdges.of([f"x{i}" for i in range(x.shape[1])], x, max_bins)
    rows = UserRows(x, users.w, users.y, fold, propensity=propensity, binary=binary)
    return edges, cells_of_rows(edges, rows)


def _judged(
    users: Simulated,
    model: ContrastModel,
    binned: Floats,
    cell: npt.NDArray[np.int64],
) -> JointGroups:
    """Group the users of a fold by their scores; users with equal features are predicted once."""
    present = distinct(cell)
    place = np.empty(len(binned), dtype=np.int64)
    place[present] = np.arange(len(present))
    at = place[cell]
    predictions = model.predict_all(binned[present])
    mu0, mu1 = (mu.astype(np.float64)[at] for mu in (predictions.mu0, predictions.mu1))
    scores = {str(name): score.astype(np.float64)[at] for name, score in predictions.cate.items()}
    return joint_groups(
        scores | {RESPONSE: mu0},
        users.w,
        users.y,
        mu0=mu0,
        mu1=mu1,
        propensity=model.propensity,
    )
