"""Test the whole procedure on one's own data: what does it find if the arms mean nothing?

The arms of the users are permuted, so no user's arm has an effect. The same procedure is run on them:
learners are fitted fold after fold, compared, and a champion is chosen. If the treatment changes
nobody's outcome, the real arms are one more permutation, and their champion's z is as likely to have
any place among the others (Fisher 1935). So the choice among learners is part of the test, and no
distribution is assumed. The null is that of no effect at all, on anyone.

Where users are in clusters, or e differs between users, arms move as they were drawn, see ``permuted``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.boosting.parameters import BoostingParameters, LearnerParameters
from uplift_core.cells import BinnedUsers
from uplift_core.errors import DataError
from uplift_core.evaluation.gate import Verdict
from uplift_core.evaluation.procedure import judge_users

SWAPPED = 20  # users of equal e, from which on they swap arms; fewer draw new ones
FASTER = 3  # a third of the rounds at three times the learning rate leave the z its spread


@dataclass(frozen=True)
class PlaceboRun:
    """The procedure's result on one assignment of the arms.

    Attributes:
        champion: the learner that was chosen.
        z_random: z of the champion's gain over random.
        z_response: z of the champion's gain over that of the response model.
        opens: whether the gate opens.
    """

    champion: str
    z_random: float
    z_response: float
    opens: bool

    @classmethod
    def of(cls, verdict: Verdict) -> PlaceboRun:
        """Take what is compared from a verdict."""
        candidate = verdict.comparison.candidates[verdict.champion]
        return cls(verdict.champion, candidate.z_random, candidate.z_response, verdict.word == "passed")


def placebo_runs(  # noqa: PLR0913 - an experiment, and the settings of the test
    users: BinnedUsers,
    runs: int,
    *,
    budget: float,
    parameters: LearnerParameters,
    seed: int = 0,
    threads: int = 1,
) -> Iterator[PlaceboRun]:
    """Yield the result with the arms as they were drawn, then those of ``runs`` permutations.

    Args:
        users: the train users of one contrast.
        runs: number of permutations.
        budget: share of users at which the learners are compared.
        parameters: parameters of all boosters; a third of their rounds are fitted.
        seed: seed of the permutations.
        threads: number of XGBoost's threads.
    """
    faster = cheaper(parameters)
    for run in range(runs + 1):
        w = permuted(users, np.random.default_rng([seed, run])) if run else users.w
        verdict = judge_users(replace(users, w=w), budget=budget, parameters=faster, threads=threads)
        yield PlaceboRun.of(verdict)


def permuted(users: BinnedUsers, rng: np.random.Generator) -> npt.NDArray[np.int8]:
    """Permute the arms of users: (n,).

    Where users are in clusters, a cluster of both arms keeps its numbers, and its members swap. If all
    clusters have one arm, clusters were assigned as a whole, and they swap their arms. If only some do,
    their users were assigned one by one, or within the cluster; then clusters swap with others of their
    size, which are as likely to have one arm.

    Where e differs between users, users of equal e swap their arms: strata are permuted within. Users
    whose e fewer than ``SWAPPED`` share draw an arm anew, by their e.

    Raises:
        DataError: users are in clusters, and e differs between them.
    """
    if users.propensities is not None:
        return _permuted_within(users.propensities, users, rng)
    if users.cluster is None:
        return rng.permutation(users.w)
    number = np.unique(users.cluster, return_inverse=True)[1].ravel()
    size = np.bincount(number)
    treated = np.bincount(number, users.w).astype(np.int64)
    whole = (treated == 0) | (treated == size)
    arm = (treated > 0).astype(np.int8)
    for among in [whole] if whole.all() else [whole & (size == s) for s in np.unique(size)]:
        arm[among] = rng.permutation(arm[among])
    w = arm[number]
    members = np.flatnonzero(~whole[number])
    ordered = members[np.argsort(number[members], kind="stable")]
    shuffled = members[np.lexsort((rng.random(len(members)), number[members]))]
    w[shuffled] = users.w[ordered]
    return w


def _permuted_within(e: Doubles, users: BinnedUsers, rng: np.random.Generator) -> npt.NDArray[np.int8]:
    if users.cluster is not None:
        raise DataError(
            "placebo: the arms of clusters cannot be permuted where their chances of the treatment "
            "differ; set placebo_runs = 0"
        )
    _, number, size = np.unique(e, return_inverse=True, return_counts=True)
    number = number.ravel()
    ordered = np.argsort(number, kind="stable")
    shuffled = np.lexsort((rng.random(len(e)), number))
    w = users.w.copy()
    w[shuffled] = users.w[ordered]
    drawn = rng.random(len(e)) < e
    return np.where(size[number] < SWAPPED, drawn, w).astype(np.int8)


def p_value(run: PlaceboRun, runs: list[PlaceboRun]) -> float:
    """Return the share of all runs, ``run`` among them, whose z over random is at least its own."""
    return float(np.mean([other.z_random >= run.z_random for other in runs]))


def cheaper(parameters: LearnerParameters) -> LearnerParameters:
    """Return parameters with a third of the rounds at three times the learning rate."""

    def of(kind: BoostingParameters) -> BoostingParameters:
        rounds, rate = -(-kind.rounds // FASTER), min(FASTER * kind.learning_rate, 1.0)
        return kind.model_copy(update={"rounds": rounds, "learning_rate": rate})

    kinds = {name: getattr(parameters, name) for name in ("outcome", "effect", "s")}
    forest = parameters.forest.model_copy(update={"trees": -(-parameters.forest.trees // FASTER)})
    changed = {name: of(kind) for name, kind in kinds.items() if kind}
    return parameters.model_copy(update={**changed, "forest": forest})
