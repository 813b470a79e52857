"""Test whether acting on a learner's ranking beats random targeting and the response model.

Learners are compared inside the train split, so that held-out users stay untouched for the evaluation.
Each fold but the first is ranked by models of the folds before it, see ``sequential.py``: the test is
valid however the models were learned. It tests the gain averaged over budgets up to twice the declared
one, which is less noisy than the gain at one budget; the reason also gives the gain at exactly the
budget.

The stack decides: it is the mean of learners and is not chosen among them, so its z must exceed what
one z exceeds in 5 % of experiments if the ranking is worth nothing. The best of several single learners
looks better than it is. So their z must exceed the value that the *largest* z of all of them exceeds in
5 % of such experiments, given how the rankings correlate. Then the gate opens in at most 5 % of such
experiments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from uplift_core.evaluation.estimate import Estimate, difference, pooled, spread
from uplift_core.evaluation.groups import JointGroups
from uplift_core.evaluation.policy import gain_over_none, gain_over_random
from uplift_core.evaluation.rate import mean_gain
from uplift_core.evaluation.sequential import SequentialSums

EvidenceStatus = Literal["passed", "inconclusive", "contradicted"]
RESPONSE: Final = "response"
DECIDER = "stack"  # decides wherever it is a candidate
LEADS_AT_FIRST = "x"  # without the stack, the learner to act on before any fold is judged
LEAST_EVENTS = 30  # of each arm, among the judged users; with fewer, no correction removes the skewness
POWER = 0.8
MOST_USERS = 10**12  # a larger sample is out of reach for anybody


@dataclass(frozen=True)
class Candidate:
    """What acting on one learner's ranking adds to random, to the response model and to nobody.

    Attributes:
        over_random: gain at the budget, on the judged users.
        over_response: the paired difference to the response model's gain.
        over_nobody: gain at the budget over treating nobody, before costs.
        mean_gain: gain over random, averaged over budgets up to twice the budget; later folds have more
            weight.
        z_random: z of ``mean_gain``; this is tested.
        z_response: z of the paired difference to the response model's mean gain.
        critical_random: what ``z_random`` must exceed.
        critical_response: what ``z_response`` must exceed.
    """

    over_random: Estimate
    over_response: Estimate
    over_nobody: Estimate
    mean_gain: float
    z_random: float
    z_response: float
    critical_random: float
    critical_response: float

    @property
    def tests(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Both tests: (z, critical value) against random, and against the response model."""
        return (self.z_random, self.critical_random), (self.z_response, self.critical_response)


@dataclass(frozen=True)
class Comparison:
    """The evidence on all learners.

    Attributes:
        candidates: the evidence on each learner.
        procedure: gain, at the budget, of acting on the decider; without one, of acting on the learner
            that led on the earlier folds. So it is what the procedure achieves; unlike the gain of the
            best learner, it is not the largest of several.
    """

    candidates: Mapping[str, Candidate]
    procedure: Estimate


@dataclass(frozen=True)
class Finding:
    """What the evidence says of one learner.

    Attributes:
        word: ``passed`` if the learner beats random targeting and the response model.
        reason: some sentences for people.
        needed: number of users that would settle it with 80 % power if the estimates are the truth; None
            if it is settled, or if an estimate is not above what it should beat.
        detectable: the smallest gain over random, at exactly the budget, that this many users show with
            80 % power.
    """

    word: EvidenceStatus
    reason: str
    needed: int | None
    detectable: float


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of all learners.

    Attributes:
        champion: the learner that decides: the stack, or the best of the candidates.
        runner_up: the best of the others.
        comparison: the evidence.
        findings: what the evidence says of each learner.
        n: number of train users.
        events: see ``Judged``.
    """

    champion: str
    runner_up: str
    comparison: Comparison
    findings: Mapping[str, Finding]
    n: int
    events: int

    @property
    def word(self) -> EvidenceStatus:
        """The word on the champion."""
        return self.findings[self.champion].word

    @property
    def claims(self) -> tuple[bool, bool, bool]:
        """Whether the champion beats random targeting, the response model, and the gate opens."""
        by_random, by_response = (
            z > critical for z, critical in self.comparison.candidates[self.champion].tests
        )
        return by_random, by_response, self.word == "passed"

    @property
    def text(self) -> str:
        """The word on the champion, and the reason."""
        return f"{self.word}. {self.findings[self.champion].reason}"


Part = tuple[float, Estimate]  # of one fold: its users, and a figure of them


@dataclass(frozen=True)
class _Side:
    """What one ranking gains on a fold.

    Attributes:
        over_random: at the budget, over random targeting.
        mean: the same, averaged over budgets.
        over_nobody: at the budget, over treating nobody.
    """

    over_random: Estimate
    mean: Estimate
    over_nobody: Estimate

    @classmethod
    def of(cls, joint: JointGroups, name: str, budget: float) -> _Side:
        groups, place = joint.by(name)
        return cls(
            spread(gain_over_random(groups, budget), place),
            spread(mean_gain(groups, budget), place),
            _bare(gain_over_none(groups, budget)),
        )


class _FoldGains:
    """One learner's gains at the budget, fold by fold: over random, the response model and nobody."""

    def __init__(self) -> None:
        self._figures: tuple[list[Part], list[Part], list[Part]] = ([], [], [])

    def add(self, joint: JointGroups, side: _Side, response: _Side) -> None:
        """Add what the learner's ranking and the response model's gain on a fold."""
        over_response = difference(joint, side.over_random, response.over_random)
        figures = _bare(side.over_random), _bare(over_response), side.over_nobody
        for parts, figure in zip(self._figures, figures, strict=True):
            parts.append((joint.n_users, figure))

    @property
    def pooled(self) -> tuple[Estimate, Estimate, Estimate]:
        """The gains over random, the response model and nobody, of all folds together."""
        over_random, over_response, over_nobody = map(_pooled, self._figures)
        return over_random, over_response, over_nobody


def compare(folds: Sequence[JointGroups], learners: Sequence[str], budget: float) -> Comparison:
    """Test every learner's ranking against random targeting and the response model.

    Args:
        folds: the judged folds in order, each with scores by models of the folds before it.
        learners: names of their rankings; ``folds`` have the response model's ranking, too.
        budget: share of users.
    """
    families = [_Family(names) for names in _families(learners)]
    gains = {name: _FoldGains() for name in learners}
    procedure: list[Part] = []
    for trained, joint in enumerate(folds, start=1):
        sides = {name: _Side.of(joint, name, budget) for name in (*learners, RESPONSE)}
        leader = families[0].leader if procedure else _first_leader(learners)
        procedure.append((joint.n_users, sides[leader].over_random))
        for family in families:
            family.add(joint, {name: side.mean for name, side in sides.items()}, trained**0.5)
        for name in learners:
            gains[name].add(joint, sides[name], sides[RESPONSE])
    candidates = {name: each for family in families for name, each in family.candidates(gains).items()}
    return Comparison({name: candidates[name] for name in learners}, _pooled(procedure))


def _families(learners: Sequence[str]) -> list[Sequence[str]]:
    """Return the decider alone, then the others; each family shares its tests' critical values."""
    families = [[name for name in learners if (name == DECIDER) is alone] for alone in (True, False)]
    return [family for family in families if family]


def _first_leader(learners: Sequence[str]) -> str:
    return next((name for name in (DECIDER, LEADS_AT_FIRST) if name in learners), learners[0])


class _Family:
    """Learners of which the best may be chosen: the sums by which they are tested together."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._over_random, self._over_response = (SequentialSums(len(names)) for _ in range(2))

    @property
    def leader(self) -> str:
        """The learner with the largest gain on the folds so far."""
        return self.names[int(np.argmax(self._over_random.total))]

    def add(self, joint: JointGroups, means: Mapping[str, Estimate], weight: float) -> None:
        """Add a fold; ``means`` has the gain of each ranking, averaged over budgets."""
        gains = [means[name] for name in self.names]
        self._over_random.add(joint, gains, weight, less=None)
        self._over_response.add(joint, [*gains, means[RESPONSE]], weight, less=len(gains))

    def candidates(self, gains: Mapping[str, _FoldGains]) -> dict[str, Candidate]:
        """Return the evidence on each learner, with its gains at the budget by fold."""
        over_random, over_response = self._over_random.evidence(), self._over_response.evidence()
        return {
            name: Candidate(
                *gains[name].pooled,
                mean_gain=float(over_random.value[i]),
                z_random=float(over_random.z[i]),
                z_response=float(over_response.z[i]),
                critical_random=over_random.critical,
                critical_response=over_response.critical,
            )
            for i, name in enumerate(self.names)
        }


def _bare(figure: Estimate) -> Estimate:
    """Drop the influences, which take memory."""
    return Estimate(figure.value, figure.std_error)


def _pooled(parts: list[Part]) -> Estimate:
    return pooled(parts) if parts else Estimate(0.0, 0.0)


@dataclass(frozen=True)
class Judged:
    """The users on whom learners were compared.

    Attributes:
        n: number of train users.
        events: number of judged users with an outcome that is not 0, in the arm with fewer of them.
            Where users are in clusters, it is the number of clusters with such a user: it is independent
            parts that make z normal, and users of one cluster say little more than one of them.
        clustered: whether users are in clusters.
        who: who they are, in the gate's sentence.
    """

    n: int
    events: int
    clustered: bool = False
    who: str = "train users, out of fold"


def judge(comparison: Comparison, judged: Judged, budget: float) -> Verdict:
    """Say which learner decides, and what is proven of each.

    Args:
        comparison: the result of ``compare``.
        judged: the users.
        budget: the budget at which the learners were compared.
    """
    candidates = comparison.candidates
    findings = {name: _finding(name, comparison, judged, budget) for name in candidates}
    ranking = sorted(candidates, key=lambda name: -candidates[name].mean_gain)
    passing = [name for name in ranking if findings[name].word == "passed"]
    champion = DECIDER if DECIDER in candidates else (passing or ranking)[0]
    runner_up = next((name for name in ranking if name != champion), champion)
    return Verdict(champion, runner_up, comparison, findings, judged.n, judged.events)


def _finding(learner: str, comparison: Comparison, judged: Judged, budget: float) -> Finding:
    """Say what the evidence shows of one learner."""
    candidate = comparison.candidates[learner]
    word = status(candidate.tests, judged.events)
    missing = [(z, critical) for z, critical in candidate.tests if z <= critical]
    needed = _needed(missing, judged.n, judged.events)
    return Finding(
        word=word,
        reason=_reason(learner, comparison, budget, judged, needed),
        needed=None if word == "passed" else needed,
        detectable=(candidate.critical_random + Z_POWER) * candidate.over_random.std_error,
    )


def status(tests: Sequence[tuple[float, float]], events: int) -> EvidenceStatus:
    """Return the word of tests inside train: (z, critical value), ...; ``events``: see ``Verdict``."""
    passed = events >= LEAST_EVENTS and all(z > critical for z, critical in tests)
    return "passed" if passed else "inconclusive"


Z_POWER = NormalDist().inv_cdf(POWER)


def _needed(missing: Sequence[tuple[float, float]], n: int, events: int) -> int | None:
    if any(z <= 0 for z, _ in missing) or events == 0:
        return None
    times = [((critical + Z_POWER) / z) ** 2 for z, critical in missing]
    if events < LEAST_EVENTS:
        times.append(LEAST_EVENTS / events)
    return min(math.ceil(n * max(times)), MOST_USERS) if times else None


def _reason(
    learner: str, comparison: Comparison, budget: float, judged: Judged, needed: int | None
) -> str:
    def side(what: str, gain: Estimate, z: float, critical: float) -> str:
        verb = "beats" if z > critical else "is not shown to beat"
        error = f"standard error {gain.std_error:.5f}"  # the sentence stands alone in answers
        return f"{verb} {what} ({gain.value:+.5f} per user, {error}; z = {z:.2f}, needed {critical:.2f})"

    candidate = comparison.candidates[learner]
    by_random, by_response = candidate.tests
    random = side("random targeting", candidate.over_random, *by_random)
    response = side("the response model", candidate.over_response, *by_response)
    text = (
        f"Among {judged.who}, treating {budget:.0%}, '{learner}' {random} and {response}; "
        f"z is that of the gain averaged over budgets up to {min(2 * budget, 1):.0%}."
    )
    if judged.events < LEAST_EVENTS:
        counted = f"{judged.events} clusters" if judged.clustered else f"{judged.events}"
        text += (
            f" That cannot be tested yet: the judged users of one arm hold {counted} with an outcome, "
            f"and {LEAST_EVENTS} are needed."
        )
    if needed is not None:
        text += f" If the estimates are right, about {needed:,} users would show it (80 % power)."
    return text


def fewer_events(
    y: npt.ArrayLike, w: npt.ArrayLike, cluster: npt.NDArray[np.int64] | None = None
) -> int:
    """Count users with a non-zero outcome, in the arm with fewer of them: see ``Judged``.

    Args:
        y: (n,) outcomes.
        w: (n,) 1 under treatment, 0 under control.
        cluster: (n,) clusters, which are counted instead of users; None if users are independent.
    """
    happened, treated = np.asarray(y) != 0, np.asarray(w) == 1
    arms = (happened & treated, happened & ~treated)
    if cluster is not None:
        return min(len(np.unique(cluster[arm])) for arm in arms)
    return int(min(np.sum(arm) for arm in arms))
