"""Run the whole procedure on users in memory: fit learners fold after fold, compare, judge them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges, BinnedUsers, UserRows, distinct
from uplift_core.evaluation.gate import RESPONSE, Judged, Verdict, compare, fewer_events, judge
from uplift_core.evaluation.groups import JointGroups, joint_groups
from uplift_core.learners import LEARNER_NAMES, ContrastModel, sequential_fit
from uplift_core.learners.nuisance import FittedModels
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
    cluster: npt.NDArray[np.int64] | None = None,
) -> Verdict:
    """Return the gate's verdict on an experiment, as a run would write it to ``models.registry``.

    Args:
        users: all of them are train users; user i is in fold i modulo 5, cluster c in fold c modulo 5.
        propensity: e, by design.
        binary: whether every outcome is 0 or 1.
        budget: share of users at which the learners are compared.
        parameters: parameters of all boosters.
        threads: number of XGBoost's threads.
        cluster: (n,) number of each user's cluster; None if users are independent.
    """
    binned = binned_users(users, propensity=propensity, binary=binary, max_bins=parameters.max_bins)
    if cluster is not None:
        binned = replace(binned, cluster=cluster, fold=(cluster % FOLDS).astype(np.int8))
    return judge_users(binned, budget=budget, parameters=parameters, threads=threads)


def judge_users(
    users: BinnedUsers,
    *,
    budget: float,
    parameters: LearnerParameters,
    threads: int = 1,
    of_control: FittedModels | None = None,
) -> Verdict:
    """Return the gate's verdict on the train users of one contrast; see ``judge_experiment``.

    ``of_control`` is shared by the contrasts of several arms, see ``OutcomeModels.of``.
    """
    folds, judged = [], np.zeros(len(users.y), dtype=bool)
    for k, model in sequential_fit(users.cells(), parameters, threads, of_control):
        rows = users.fold == k
        folds.append(groups_by(model, users, rows))
        judged |= rows
    cluster = None if users.cluster is None else users.cluster[judged]
    events = fewer_events(users.y[judged], users.w[judged], cluster)
    who = Judged(len(users.y), events, clustered=cluster is not None)
    return judge(compare(folds, LEARNER_NAMES, budget), who, budget)


def binned_users(users: Simulated, *, propensity: float, binary: bool, max_bins: int) -> BinnedUsers:
    """Bin all users of a simulated experiment; user i is in fold i modulo 5."""
    x = users.x.astype(np.float32)
    fold = np.arange(len(x)) % FOLDS
    edges = BinEdges.of([f"x{i}" for i in range(x.shape[1])], x, max_bins)
    rows = UserRows(x, users.w, users.y, fold, propensity=propensity, binary=binary)
    return BinnedUsers.of(edges, rows)


def groups_by(
    model: ContrastModel,
    users: BinnedUsers,
    rows: npt.NDArray[np.bool_] | slice = slice(None),
    outcome: str | None = None,
) -> JointGroups:
    """Group users of a contrast by the scores of a model that never saw them; one group each.

    Users with equal features are predicted once. ``outcome`` names the users' outcome if it is not the
    one that the learners learned: the scores are the same, and the models of that outcome narrow errors.
    """
    cell = users.cell[rows]
    present = distinct(cell)
    place = np.empty(len(users.x), dtype=np.int64)
    place[present] = np.arange(len(present))
    at = place[cell]
    predictions = model.predict_all(users.x[present])
    response = predictions.mu0.astype(np.float64)[at]
    predicted = (predictions.mu0, predictions.mu1)
    if outcome is not None:
        predicted = model.predict_outcomes(users.x[present], outcome)
    mu0, mu1 = (mu.astype(np.float64)[at] for mu in predicted)
    scores = {str(name): score.astype(np.float64)[at] for name, score in predictions.cate.items()}
    return joint_groups(
        scores | {RESPONSE: response},
        users.w[rows].astype(np.float64),
        users.y[rows],
        mu0=mu0,
        mu1=mu1,
        propensity=model.propensity,
        cluster=None if users.cluster is None else users.cluster[rows],
        propensities=None if users.propensities is None else users.propensities[rows],
    )
