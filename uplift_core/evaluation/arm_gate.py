"""Decide whether each user's arm is chosen, or one arm serves all: policies judged inside train.

The candidates are nobody, each arm alone for its best users, and the multi-arm policy: the arm that
each user's calibrated effects choose, see ``targeting/arm_path.py``. All spend at most the same budget.
Each fold but the first is decided about by models of the folds before it, whose effects are calibrated
on the judged folds before it, so the test is valid however the models were learned; see
``sequential.py``.

The multi-arm policy decides if it is shown to beat *every* arm alone, each in a one-sided test of 5 %.
No correction for the number of arms is needed: the largest of the arms' values is among them, so the
policy is wrongly said to beat it in at most 5 % of experiments (an intersection-union test, Berger
1982). Otherwise the arm that gains most alone decides. Which one that is, the measured gains tell with
much noise where few users are treated, and the predicted ones with bias; their mean errs least. Nobody
is treated if the decider is shown to lose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.effect_calibration import Calibration, ScoredFold, calibrate
from uplift_core.evaluation.estimate import Estimate, pooled
from uplift_core.evaluation.gate import LEAST_EVENTS, EvidenceStatus, status
from uplift_core.evaluation.multi_arm import ArmScores, PolicyAt, arm_scores
from uplift_core.evaluation.sequential import SequentialSums
from uplift_core.targeting.arm_path import find_path

MULTI_ARM = "multi_arm"
NOBODY = "nobody"


@dataclass(frozen=True)
class ArmDesign:
    """The treatment arms of an experiment.

    Attributes:
        names: (n_arms,) their names.
        costs: (n_arms,) cost of treating one user.
        propensity: (1 + n_arms,) designed share of each arm among all users, the control first.
        value: money of one unit of the outcome; None if it is not known, or if costs are only relative.
        least_price: effect per cost that a move must exceed; 0: every effect above 0 is worth its cost.
    """

    names: tuple[str, ...]
    costs: Doubles
    propensity: Doubles
    value: float | None = None
    least_price: float = 0.0


@dataclass(frozen=True)
class ArmFold:
    """The users of one judged fold, all arms, by cell; column 0 of the sums is the control.

    Attributes:
        n: (n_cells, 1 + n_arms) users.
        y: (n_cells, 1 + n_arms) sums of their outcomes.
        yy: (n_cells, 1 + n_arms) sums of their squared outcomes.
        events: (n_cells, 1 + n_arms) users whose outcome is not 0.
        mu: (n_cells, 1 + n_arms) predicted outcomes, by models of the folds before.
        score: (n_cells, n_arms) scores by the learners that decide, by models of the folds before.
        trained: number of folds before, which trained the models.
    """

    n: Doubles
    y: Doubles
    yy: Doubles
    events: Doubles
    mu: Doubles
    score: Doubles
    trained: int


@dataclass(frozen=True)
class PolicyFinding:
    """One candidate at one budget.

    Attributes:
        policy: an arm's name, or MULTI_ARM.
        gain: mean outcome per judged user over treating nobody, less the cost where a value is known.
        spend: cost per user.
        arm_shares: share of users who get each arm.
        lead: what the multi-arm policy gains over this one, paired; 0 of itself.
        z: z of the lead, weighted by fold.
        critical: what ``z`` must exceed.
    """

    policy: str
    gain: Estimate
    spend: float
    arm_shares: Mapping[str, float]
    lead: Estimate
    z: float
    critical: float


@dataclass(frozen=True)
class PolicyVerdict:
    """Which policy decides at one budget.

    Attributes:
        budget: cost per user of all users over the cost of the dearest arm.
        decider: MULTI_ARM, an arm's name, or NOBODY.
        best_single: the arm with the largest gain alone: the mean of the measured and the predicted one.
        word: ``passed`` if the multi-arm policy is shown to beat every arm alone.
        reason: some sentences for people.
        findings: the candidates, the multi-arm policy first.
        events: judged users whose outcome is not 0, of the arm with fewest.
        n: judged users.
    """

    budget: float
    decider: str
    best_single: str
    word: EvidenceStatus
    reason: str
    findings: tuple[PolicyFinding, ...]
    events: int
    n: int


@dataclass(frozen=True)
class ArmVerdict:
    """Everything that is learned about several arms inside train.

    Attributes:
        calibrations: by arm; their maps make the arms' scores comparable.
        after: by arm; the slope and the excess of calibrated effects, each fold by the folds before it.
        policies: the verdict by budget, ascending.
    """

    calibrations: Mapping[str, Calibration]
    after: Mapping[str, Calibration]
    policies: tuple[PolicyVerdict, ...]


def judge_arms(folds: Sequence[ArmFold], design: ArmDesign, budgets: Sequence[float]) -> ArmVerdict:
    """Calibrate the arms' scores, and judge the policies at each budget.

    Args:
        folds: the judged folds in order.
        design: the arms.
        budgets: each a cost per user of all users over the cost of the dearest arm.

    Raises:
        DataError: there is no fold, or fewer than two arms.
    """
    arms = range(len(design.names))
    if not folds or len(arms) < 2:  # noqa: PLR2004
        raise DataError("policies of several arms: two treatment arms and one judged fold are needed")
    scored: list[list[ScoredFold]] = [[] for _ in arms]
    mapped: list[list[ScoredFold]] = [[] for _ in arms]
    decided = []
    for fold in folds:
        users = arm_scores(fold.n, fold.y, fold.yy, mu=fold.mu, propensity=design.propensity)
        effects = np.empty(fold.score.shape)
        for a in arms:
            effects[:, a] = _effects(calibrate(scored[a]), fold.score[:, a])
            if scored[a]:
                mapped[a].append(_scored(users, a, effects[:, a], fold.trained))
        for a in arms:
            scored[a].append(_scored(users, a, fold.score[:, a], fold.trained))
        decided.append(_Decided(fold, users, effects))
    names = design.names
    return ArmVerdict(
        calibrations={names[a]: calibrate(scored[a]) for a in arms},
        after={names[a]: calibrate(mapped[a]) for a in arms},
        policies=tuple(_judged(decided, design, budget) for budget in sorted(budgets)),
    )


def effects_of(calibrations: Mapping[str, Calibration], score: Doubles) -> Doubles:
    """Return the calibrated effects of scores (n, n_arms), as the maps of a bundle compute them."""
    columns = [_effects(each, score[:, a]) for a, each in enumerate(calibrations.values())]
    return np.column_stack(columns)


def single_policy(effects: Doubles, arm: int) -> Doubles:
    """Return effects (n, n_arms) by which a path never chooses another arm than this one."""
    return np.where(np.arange(effects.shape[1]) == arm, effects, -1.0)


def _effects(calibration: Calibration, score: Doubles) -> Doubles:
    mapped = calibration.effect_map.effects(score.astype(np.float32))
    return np.asarray(mapped, dtype=np.float64)


def _scored(users: ArmScores, arm: int, score: Doubles, trained: int) -> ScoredFold:
    squares = users.products[:, arm, arm]
    return ScoredFold(score, users.n, users.phi[:, arm], squares, weight=float(trained))


@dataclass(frozen=True)
class _Decided:
    """A fold with the effects that decide about its users."""

    fold: ArmFold
    users: ArmScores
    effects: Doubles


@dataclass(frozen=True)
class _At:
    """A policy in one fold: shares by cell and arm, and how far a user moves the cut."""

    shares: Doubles
    shift: Doubles

    def less(self, other: _At) -> _At:
        return _At(self.shares - other.shares, self.shift - other.shift)


def _judged(decided: Sequence[_Decided], design: ArmDesign, budget: float) -> PolicyVerdict:
    names = design.names
    parts: dict[str, list[tuple[float, Estimate]]] = {name: [] for name in (MULTI_ARM, *names)}
    leads: dict[str, list[tuple[float, Estimate]]] = {name: [] for name in parts}
    tests = {name: SequentialSums(1) for name in parts}
    given = {name: np.zeros(len(names)) for name in parts}
    predicted = dict.fromkeys(parts, 0.0)
    for each in decided:
        fold, at = each.fold, _policies(each, design, budget)
        size, weight = float(each.users.n.sum()), float(fold.trained) ** 0.5
        worth = each.effects - design.costs * _per_cost(design)
        for name, policy in at.items():
            parts[name].append((size, _gain(fold, policy, design).estimate))
            given[name] += each.users.n @ policy.shares
            predicted[name] += float(each.users.n @ np.sum(policy.shares * worth, axis=1))
            moments = _gain(fold, at[MULTI_ARM].less(policy), design)
            leads[name].append((size, moments.estimate))
            tests[name].add_moments(size, moments.estimate.value, moments.squares, moments.cubes, weight)
    total = sum(size for size, _ in parts[MULTI_ARM])

    def finding(name: str) -> PolicyFinding:
        shares = given[name] / total
        by_arm = {arm: float(share) for arm, share in zip(names, shares, strict=True)}
        spend = float(shares @ design.costs)
        test, gain = tests[name].evidence(), pooled(parts[name])
        z, critical = float(test.z[0]), test.critical
        return PolicyFinding(name, gain, spend, by_arm, pooled(leads[name]), z, critical)

    findings = tuple(finding(name) for name in parts)
    events = int(np.min(np.sum([each.fold.events.sum(axis=0) for each in decided], axis=0)))
    gains = {each.policy: each.gain.value + predicted[each.policy] / total for each in findings[1:]}
    best = max(findings[1:], key=lambda each: gains[each.policy])
    return _verdict(findings, best, budget, events, round(total))


def _policies(each: _Decided, design: ArmDesign, budget: float) -> dict[str, _At]:
    effects = {MULTI_ARM: each.effects}
    effects |= {name: single_policy(each.effects, a) for a, name in enumerate(design.names)}
    chosen = {}
    for name, of_arms in effects.items():
        path = find_path(of_arms, design.costs, each.users.n)
        amount = min(budget * float(design.costs.max()), path.spend_above(design.least_price))
        policy = PolicyAt.of(path.shares, amount)
        shift = each.users.at_cut(policy, design.costs, per_cost=_per_cost(design))
        chosen[name] = _At(policy.shares, shift)
    return chosen


def _per_cost(design: ArmDesign) -> float:
    """Return the outcome that one unit of cost must bring; 0 if no value is known."""
    return 1 / design.value if design.value else 0.0


@dataclass(frozen=True)
class _Moments:
    """A mean with its error, and sums over users of its squared and cubed influence."""

    estimate: Estimate
    squares: float
    cubes: float


def _gain(fold: ArmFold, policy: _At, design: ArmDesign) -> _Moments:
    """Estimate a policy's gain, or the difference of two: level + slope * y for a user of each arm."""
    pi, e, mu = policy.shares, design.propensity, fold.mu
    level = np.empty(fold.n.shape)
    level[:] = (np.sum(pi * (mu[:, 1:] - mu[:, :1]), axis=1) - pi @ design.costs * _per_cost(design))[
        :, None
    ]
    slope = np.column_stack([-pi.sum(axis=1) / e[0], pi / e[1:]])
    level -= slope * mu
    users = float(fold.n.sum())
    value = float(np.sum(level * fold.n + slope * fold.y)) / users
    level -= value + policy.shift[:, None]
    n, y, yy = fold.n, fold.y, fold.yy
    squares = float(np.sum(level**2 * n + 2 * level * slope * y + slope**2 * yy))
    with np.errstate(divide="ignore", invalid="ignore"):
        yyy = np.where(fold.events > 0, (3 * yy - 2 * y * y / fold.events) * y / fold.events, 0.0)
    cubes = level**3 * n + 3 * level**2 * slope * y + 3 * level * slope**2 * yy + slope**3 * yyy
    error = math.sqrt(max(squares, 0.0)) / users
    return _Moments(Estimate(value, error), squares, float(np.sum(cubes)))


def _verdict(
    findings: tuple[PolicyFinding, ...], best: PolicyFinding, budget: float, events: int, n: int
) -> PolicyVerdict:
    multi, *alone = findings
    tests = [(each.z, each.critical) for each in alone]
    word = status(tests, events)
    decider = multi if word == "passed" else best
    loses = decider.gain.ci_high < 0
    reason = _reason(min(alone, key=lambda each: each.z), best, budget, word)
    if events < LEAST_EVENTS:
        reason += (
            f" That cannot be tested yet: the judged users of one arm hold {events} with an outcome, "
            f"and {LEAST_EVENTS} are needed."
        )
    if loses:
        reason += (
            f" Treating nobody is shown to be better ({decider.gain.value:+.5f} per user, standard "
            f"error {decider.gain.std_error:.5f})."
        )
    return PolicyVerdict(
        budget=budget,
        decider=NOBODY if loses else decider.policy,
        best_single=best.policy,
        word=word,
        reason=reason,
        findings=findings,
        events=events,
        n=n,
    )


def _reason(hardest: PolicyFinding, best: PolicyFinding, budget: float, word: EvidenceStatus) -> str:
    verb = "beats" if word == "passed" else "is not shown to beat"
    who = "choosing each user's arm decides" if word == "passed" else f"'{best.policy}' alone decides"
    return (
        f"At a budget of {budget:.0%}, choosing each user's arm {verb} every arm alone: "
        f"{hardest.lead.value:+.5f} per user over '{hardest.policy}', standard error "
        f"{hardest.lead.std_error:.5f}; z = {hardest.z:.2f}, needed {hardest.critical:.2f}, with more "
        f"weight on later folds. So {who}."
    )
