"""Prove the evaluator on simulated experiments whose truth is known.

Learners are fitted once on a simulated RCT. Their rankings then have fixed true values, which are
integrals over the population. Many small, fresh experiments estimate these values, and a 95 % interval
must contain the truth in 95 % of the experiments. A test of two equally good rankings must reject in
5 %. Of spend that a few users decide, the interval of the effect on capped spend must hold it.
Where no effect differs between users, learners are fitted and judged on the same experiment: they
may beat random targeting in at most 5 % of the experiments, and the response model in at most 5 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.evaluation.average_effect import ArmOutcomes, AverageEffect, share_to_cap
from uplift_core.evaluation.curves import auuc, qini_auc
from uplift_core.evaluation.estimate import Z95, Estimate, difference, spread
from uplift_core.evaluation.groups import JointGroups, ScoreGroups, joint_groups
from uplift_core.evaluation.policy import (
    average_effect,
    gain_over_random,
    policy_value,
    policy_value_ipw,
)
from uplift_core.evaluation.procedure import binned_users, judge_experiment
from uplift_core.evaluation.rate import autoc, qini
from uplift_core.learners import LearnerName
from uplift_core.learners.contrast import ContrastModel, fit_contrast
from uplift_core.simulation.gate_designs import draw
from uplift_core.simulation.rct import Simulated, marketing_rct, nie_wager_rct

BUDGET = 0.3
Ranking = LearnerName | Literal["response"]
RANKING: LearnerName = "x"
RANKING_PARAMETERS = LearnerParameters().with_rounds(30)  # any ranking will do
TRAIN_USERS, POPULATION = 5_000, 200_000
NULL = "few discrete features"  # the null design in which equal scores are most frequent
NULL_SHARE = 0.1  # share of the replications, because each fits 34 boosters
NULL_PARAMETERS = LearnerParameters.model_validate(
    {kind: {"rounds": 10, "learning_rate": 0.5} for kind in ("outcome", "effect")}
)
BUYERS, SIGMA = 0.013, 1.5  # of whom few spend most: lognormal spend
SPENDERS_PER_USER = 10  # as many times the users: of 2,000 some 26 buy
MARGIN = 3.0  # Monte-Carlo standard errors
EXPERIMENTS_PER_CALL = 50  # predicted together: the call itself costs as much as 2,000 rows

FIGURES: dict[str, Callable[[ScoreGroups], Estimate]] = {
    "ate": average_effect,
    "policy_value": lambda groups: policy_value(groups, BUDGET),
    "policy_value_ipw": lambda groups: policy_value_ipw(groups, BUDGET),
    "gain_over_random": lambda groups: gain_over_random(groups, BUDGET),
    "qini": qini,
    "autoc": autoc,
    "qini_auc": qini_auc,
    "auuc": auuc,
}


@dataclass(frozen=True)
class Proof:
    """How often something happened in replicated experiments, and how often it should.

    Attributes:
        design: the simulated experiment.
        claim: the event that was counted: ``covers <figure>``, ``paired test rejects``, ``learner beats
            random``, ``learner beats response`` or ``gate opens``.
        truth: the true value; NaN for tests.
        mean: mean estimate; NaN for tests.
        share: how often it happened.
        nominal: how often it should happen; for learners and the gate, how often at most.
        monte_carlo_error: standard error of ``share`` if it happens as it should.
        replications: number of experiments.
        holds: whether ``share`` is within three such errors of ``nominal``.
    """

    design: str
    claim: str
    truth: float
    mean: float
    share: float
    nominal: float
    monte_carlo_error: float
    replications: int
    holds: bool


def prove(replications: int, n_users: int, *, seed: int = 0, threads: int = 1) -> Iterator[Proof]:
    """Run the whole proof. It takes a few seconds for 400 replications of 2,000 users."""
    for part in proof_parts(replications, n_users, seed=seed, threads=threads):
        yield from part()


def proof_parts(
    replications: int, n_users: int, *, seed: int = 0, threads: int = 1
) -> list[Callable[[], list[Proof]]]:
    """Return the calls that make the proof, the longest first; they can run in several processes."""
    few = round(NULL_SHARE * replications)
    return [
        partial(_listed, _nothing_to_find, few, n_users, seed, threads),
        partial(_listed, _coverage, 0.5, replications, n_users, seed, threads),
        partial(_listed, _coverage, 0.85, replications, n_users, seed, threads),
        partial(_listed, _no_difference, replications, n_users, seed),
        partial(_listed, _heavy_tails, replications, SPENDERS_PER_USER * n_users, seed),
    ]


def _listed(part: Callable[..., Iterator[Proof]], *given: float) -> list[Proof]:
    return list(part(*given))


def _coverage(e: float, replications: int, n_users: int, seed: int, threads: int) -> Iterator[Proof]:
    """Count how often the interval of each figure contains the truth; other users gave the ranking."""
    model = fitted_model(e, seed, threads)
    population = next(marketing_rct(POPULATION, seed + 1, treated_share=e, chunk=POPULATION))
    expected = expected_groups(model, population, e)
    truth = {name: figure(expected).value for name, figure in FIGURES.items()}
    by_figure: dict[str, list[Estimate]] = {name: [] for name in FIGURES}
    replicates = replicate(replications, n_users, seed, e)
    while experiments := list(islice(replicates, EXPERIMENTS_PER_CALL)):
        for joint in observed_groups(model, experiments, e):
            groups, _ = joint.by(RANKING)
            for name, figure in FIGURES.items():
                by_figure[name].append(figure(groups))
    for name, estimates in by_figure.items():
        covered = [abs(f.value - truth[name]) <= Z95 * f.std_error for f in estimates]
        mean = float(np.mean([f.value for f in estimates]))
        proof = _proof(f"marketing, e = {e}", f"covers {name}", covered, 0.95)
        yield replace(proof, truth=truth[name], mean=mean)


def _no_difference(replications: int, n_users: int, seed: int) -> Iterator[Proof]:
    """Count how often the paired test of two equally good rankings rejects.

    Every user gains the same (Nie & Wager's setup C), so all rankings are equally good.
    """
    rng = np.random.default_rng(seed)
    rejected = []
    for k in range(replications):
        users = next(nie_wager_rct("C", n_users, seed + 10_000 + k, chunk=n_users))
        shared = users.x @ rng.standard_normal(users.x.shape[1])
        scores: dict[str, Doubles] = {
            name: shared + users.x @ rng.standard_normal(users.x.shape[1]) for name in ("a", "b")
        }
        mu0, mu1 = users.mu0 + 0.2 * users.x[:, 1], users.mu1 + 0.2 * users.x[:, 2]
        joint = joint_groups(scores, users.w, users.y, mu0=mu0, mu1=mu1, propensity=0.5)
        sides = []
        for name in scores:
            groups, place = joint.by(name)
            sides.append(spread(gain_over_random(groups, BUDGET), place))
        rejected.append(abs(difference(joint, *sides).z) > Z95)
    yield _proof("constant effect", "paired test rejects", rejected, 0.05)


def _heavy_tails(replications: int, n_users: int, seed: int) -> Iterator[Proof]:
    """Count how often intervals of the effect on capped spend hold the truth: it is 0 for all."""
    covered, effects = [], []
    for k in range(replications):
        rng = np.random.default_rng(seed + 30_000 + k)
        average = capped_effect(few_spend_most(n_users, rng), rng.integers(0, 2, n_users) == 1)
        if average is None:
            continue
        covered.append(abs(average.effect.value) <= Z95 * average.effect.std_error)
        effects.append(average.effect.value)
    proof = _proof("few spend most", "covers capped effect", covered, 0.95)
    yield replace(proof, truth=0.0, mean=float(np.mean(effects)))


def few_spend_most(n_users: int, rng: np.random.Generator) -> Doubles:
    """Draw the spend of users of whom 1.3 % buy, and a few of these for very much."""
    return np.where(rng.random(n_users) < BUYERS, rng.lognormal(0, SIGMA, n_users), 0.0)


def capped_effect(y: Doubles, treated: npt.NDArray[np.bool_]) -> AverageEffect | None:
    """Compute the average effect on capped outcomes; None if the caps leave one value.

    Args:
        y: (n,) outcomes.
        treated: (n,) whether the user is in the treatment's arm.
    """
    share = share_to_cap([_average(y, treated)])
    low, high = np.quantile(y, [share, 1 - share], method="inverted_cdf")
    if low == high:
        return None
    return _average(np.clip(y, low, high), treated)


def _average(y: Doubles, treated: npt.NDArray[np.bool_]) -> AverageEffect:
    return AverageEffect(arm_outcomes(y[treated]), arm_outcomes(y[~treated]))


def arm_outcomes(y: Doubles) -> ArmOutcomes:
    """Add up the outcomes of the users of an arm: (n,)."""
    return ArmOutcomes(float(len(y)), float(y.sum()), float(y @ y), float(y.min()), float(y.max()))


def _nothing_to_find(replications: int, n_users: int, seed: int, threads: int) -> Iterator[Proof]:
    """Count how often the whole procedure takes noise for a ranking.

    Learners are fitted and judged on an experiment in which no effect differs between users.
    """
    happened: dict[str, list[bool]] = {
        claim: [] for claim in ("learner beats random", "learner beats response", "gate opens")
    }
    for k in range(replications):
        verdict = judge_experiment(
            draw(NULL, n_users, seed + 20_000 + k),
            propensity=0.5,
            binary=True,
            budget=BUDGET,
            parameters=NULL_PARAMETERS,
            threads=threads,
        )
        for claim, value in zip(happened, verdict.claims, strict=True):
            happened[claim].append(value)
    for claim, values in happened.items():
        yield _proof(NULL, claim, values, 0.05, at_most=True)


def fitted_model(e: float, seed: int, threads: int) -> ContrastModel:
    """Fit the learners on one experiment; their rankings are then fixed."""
    users = next(marketing_rct(TRAIN_USERS, seed, treated_share=e))
    cells = binned_users(users, propensity=e, binary=True, max_bins=RANKING_PARAMETERS.max_bins).cells()
    return fit_contrast(cells, RANKING_PARAMETERS, threads)


def replicate(replications: int, n_users: int, seed: int, e: float) -> Iterator[Simulated]:
    """Draw many small, fresh experiments."""
    for k in range(replications):
        yield next(marketing_rct(n_users, seed + 1_000 + k, treated_share=e, chunk=n_users))


def observed_groups(
    model: ContrastModel, experiments: list[Simulated], e: float
) -> Iterator[JointGroups]:
    """Yield the groups of each experiment; one call predicts the users of all experiments."""
    x = np.vstack([users.x for users in experiments]).astype(np.float32)
    predicted = [*model.predict_outcomes(x), model.predict(x, RANKING)]
    ends = np.cumsum([len(users.y) for users in experiments])[:-1]
    by_experiment = zip(*(np.split(p.astype(np.float64), ends) for p in predicted), strict=True)
    for users, (mu0, mu1, score) in zip(experiments, by_experiment, strict=True):
        scores: dict[str, Doubles] = {RANKING: score}
        yield joint_groups(scores, users.w, users.y, mu0=mu0, mu1=mu1, propensity=e)


def expected_groups(
    model: ContrastModel, population: Simulated, e: float, ranking: Ranking = RANKING
) -> ScoreGroups:
    """Return the expected sums of the groups: a figure of them is the population's true value."""
    x = population.x.astype(np.float32)
    score = model.predict_response(x) if ranking == "response" else model.predict(x, ranking)
    zero: Doubles = np.zeros(len(x))
    joint = JointGroups(
        n=np.ones(len(x)),
        n_treated=np.full(len(x), e),
        y_treated=e * population.mu1,
        y_control=(1 - e) * population.mu0,
        yy_treated=zero,
        yy_control=zero,
        phi=population.cate,
        phi_sq=zero,
        phi_cu=zero,
        phi0=population.mu0,
        phi0_sq=zero,
        phi0_phi=zero,
        propensity=e,
        scores={ranking: score.astype(np.float64)},
    )
    return joint.by(ranking)[0]


def _proof(
    design: str, claim: str, happened: list[bool], nominal: float, *, at_most: bool = False
) -> Proof:
    """Compare how often something happened with how often it should; truth and mean stay NaN."""
    nan = float("nan")
    error = float(np.sqrt(nominal * (1 - nominal) / len(happened)))
    share = float(np.mean(happened))
    off = share - nominal if at_most else abs(share - nominal)
    return Proof(
        design, claim, nan, nan, share, nominal, error, len(happened), holds=off <= MARGIN * error
    )
