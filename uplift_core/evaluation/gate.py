"""The champion, and whether the evidence bears it.

Candidates are compared on out-of-fold scores inside the train split, so that the holdout is still
untouched when it reports. Each fold is ranked by itself, with models that saw none of its users, and
the folds' figures are pooled.

The champion is the best of several candidates, and the best of several looks better than it is. So
each is tested at 5 % divided by their number (Bonferroni), one-sided: if no effect differs between
users, the gate opens in at most 5 % of experiments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from uplift_core.evaluation.estimate import Estimate, difference, pooled, spread
from uplift_core.evaluation.groups import JointGroups
from uplift_core.evaluation.policy import gain_over_random

Word = Literal["passed", "inconclusive", "contradicted"]
RESPONSE = "response"
LEVEL = 0.05  # that the gate opens where it should not
POWER = 0.8
MOST_USERS = 10**12  # more than that settles nothing for anybody


@dataclass(frozen=True)
class Candidate:
    """One learner's out-of-fold evidence: what acting on it adds to random and to the response model."""

    over_random: Estimate
    over_response: Estimate


@dataclass(frozen=True)
class Finding:
    """What the out-of-fold evidence says of one learner.

    Attributes:
        word: ``passed`` if the learner beats random targeting and the response model.
        reason: one or two sentences for people.
        needed: users that would settle it with 80 % power if the estimates are the truth; None if it
            is settled, or if an estimate is not above what it should beat.
        detectable: the smallest gain over random that this many users show with 80 % power.
    """

    word: Word
    reason: str
    needed: int | None
    detectable: float


@dataclass(frozen=True)
class Verdict:
    """What the out-of-fold evidence says of all learners.

    Attributes:
        champion: the learner that decides.
        runner_up: the next best.
        candidates: the evidence on each learner.
        findings: what that says of each.
        n: users behind it.
        level: at which each learner was tested, one-sided.
    """

    champion: str
    runner_up: str
    candidates: Mapping[str, Candidate]
    findings: Mapping[str, Finding]
    n: int
    level: float

    @property
    def word(self) -> Word:
        """The word on the champion."""
        return self.findings[self.champion].word

    @property
    def text(self) -> str:
        """Word and reason, of the champion."""
        return f"{self.word}. {self.findings[self.champion].reason}"


def compare(
    folds: Sequence[JointGroups], learners: Sequence[str], budget: float
) -> dict[str, Candidate]:
    """Every learner's gain over random and over the response model at a budget, folds pooled."""
    parts: dict[str, list[tuple[float, Estimate, Estimate]]] = {name: [] for name in learners}
    for joint in folds:
        groups, place = joint.by(RESPONSE)
        response = spread(gain_over_random(groups, budget), place)
        for name in learners:
            groups, place = joint.by(name)
            gain = spread(gain_over_random(groups, budget), place)
            parts[name].append((joint.n_users, gain, difference(joint, gain, response)))
    return {
        name: Candidate(
            over_random=pooled([(n, gain) for n, gain, _ in found]),
            over_response=pooled([(n, apart) for n, _, apart in found]),
        )
        for name, found in parts.items()
    }


def judge(candidates: Mapping[str, Candidate], n: int, budget: float) -> Verdict:
    """Choose the champion and say whether it is proven.

    Args:
        candidates: from ``compare``.
        n: users behind them.
        budget: that they were compared at.
    """
    level = LEVEL / len(candidates)
    bar = NormalDist().inv_cdf(1 - level)
    findings = {name: _finding(name, c, n, budget, bar) for name, c in candidates.items()}
    ranking = sorted(candidates, key=lambda name: -candidates[name].over_random.value)
    passing = [name for name in ranking if findings[name].word == "passed"]
    champion = (passing or ranking)[0]
    runner_up = next((name for name in ranking if name != champion), champion)
    return Verdict(champion, runner_up, candidates, findings, n, level)


def _finding(learner: str, candidate: Candidate, n: int, budget: float, bar: float) -> Finding:
    """The word on one learner, of ``n`` users; z must exceed ``bar`` in both comparisons."""
    missing = [e for e in (candidate.over_random, candidate.over_response) if e.z <= bar]
    needed = _needed(missing, n, bar)
    return Finding(
        word="inconclusive" if missing else "passed",
        reason=_reason(learner, candidate, budget, bar, needed),
        needed=needed,
        detectable=(bar + NormalDist().inv_cdf(POWER)) * candidate.over_random.std_error,
    )


def _needed(missing: Sequence[Estimate], n: int, bar: float) -> int | None:
    if not missing or min(e.z for e in missing) <= 0:
        return None
    wanted = bar + NormalDist().inv_cdf(POWER)
    return min(math.ceil(n * (wanted / min(e.z for e in missing)) ** 2), MOST_USERS)


def _reason(learner: str, candidate: Candidate, budget: float, bar: float, needed: int | None) -> str:
    def side(what: str, found: Estimate) -> str:
        verb = "beats" if found.z > bar else "is not shown to beat"
        error = f"standard error {found.std_error:.5f}"  # the sentence stands alone in answers
        return f"{verb} {what} ({found.value:+.5f} per user, {error}, z = {found.z:.1f})"

    text = (
        f"Treating {budget:.0%}, '{learner}' {side('random targeting', candidate.over_random)} and "
        f"{side('the response model', candidate.over_response)}; z must exceed {bar:.2f}."
    )
    if needed is not None:
        text += f" If the estimates are right, about {needed:,} users would show it (80 % power)."
    return text
