"""The champion and the gate's word."""

from __future__ import annotations

import numpy as np
import pytest

from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.gate import Candidate, compare, judge
from uplift_core.evaluation.groups import joint_groups


def candidate(gain: float, over_response: float, error: float = 0.001) -> Candidate:
    return Candidate(Estimate(gain, error), Estimate(over_response, error))


def test_the_best_of_those_that_beat_both_is_the_champion() -> None:
    found = {
        "s": candidate(0.010, 0.001),
        "t": candidate(0.008, 0.006),
        "x": candidate(0.009, 0.005),
    }
    verdict = judge(found, 1000, 0.3)
    assert (verdict.word, verdict.champion, verdict.runner_up) == ("passed", "x", "s")
    assert verdict.findings["x"].needed is None
    assert "'x' beats random targeting" in verdict.findings["x"].reason


def test_each_learner_has_a_word_of_its_own() -> None:
    found = {
        "s": candidate(0.010, 0.001),
        "t": candidate(0.008, 0.006),
        "x": candidate(0.009, -0.005, error=0.002),
    }
    verdict = judge(found, 1000, 0.3)
    words = {name: finding.word for name, finding in verdict.findings.items()}
    assert words == {"s": "inconclusive", "t": "passed", "x": "inconclusive"}
    assert verdict.champion == "t"
    assert verdict.text == f"passed. {verdict.findings['t'].reason}"
    for name, finding in verdict.findings.items():
        assert f"'{name}' " in finding.reason
    # z of s is 1 against the response model: more users would show it; that of x is below 0.
    assert verdict.findings["s"].needed > 1000
    assert verdict.findings["x"].needed is None
    assert verdict.findings["x"].detectable == pytest.approx(2 * verdict.findings["s"].detectable)


def test_beating_random_alone_is_inconclusive_and_says_what_would_settle_it() -> None:
    verdict = judge({"s": candidate(0.010, 0.001), "t": candidate(0.004, -0.002)}, 1000, 0.3)
    assert (verdict.word, verdict.champion) == ("inconclusive", "s")
    finding = verdict.findings["s"]
    assert "is not shown to beat the response model" in finding.reason
    # Two candidates: 2.5 % one-sided and 80 % power want z = 1.96 + .84; it is 1 with 1,000 users.
    assert finding.needed == pytest.approx(1000 * (1.95996 + 0.84162) ** 2, abs=1)
    assert finding.detectable == pytest.approx(0.001 * (1.95996 + 0.84162), abs=1e-7)


def test_the_sentence_says_what_its_errors_are() -> None:
    """It stands alone in the API's answers and in manifests."""
    text = judge({"s": candidate(0.010, 0.001)}, 1000, 0.3).text
    assert "(+0.01000 per user, standard error 0.00100, z = 10.0)" in text
    assert "±" not in text


def test_no_number_of_users_settles_a_gain_below_0() -> None:
    verdict = judge({"s": candidate(-0.001, 0.002)}, 1000, 0.3)
    assert (verdict.word, verdict.findings["s"].needed) == ("inconclusive", None)


def test_more_candidates_must_show_more() -> None:
    just = candidate(0.0018, 0.0018)  # z = 1.8
    assert judge({"s": just}, 1000, 0.3).word == "passed"
    assert judge({"s": just, "t": just, "x": just}, 1000, 0.3).word == "inconclusive"


def test_each_fold_is_ranked_by_itself() -> None:
    """Scores of different folds' models may differ in level; the comparison must not care."""
    rng = np.random.default_rng(3)
    n = 4000
    x = rng.random(n)
    w, mu0 = (rng.random(n) < 0.5).astype(float), np.full(n, 0.2)
    y = (rng.random(n) < 0.2 + 0.3 * w * x).astype(float)
    scores = {"s": x, "response": rng.random(n)}

    def part(rows: slice, shift: float):
        own = {name: score[rows] + shift for name, score in scores.items()}
        fitted = {"mu0": mu0[rows], "mu1": mu0[rows] + 0.15}
        return joint_groups(own, w[rows], y[rows], **fitted, propensity=0.5)

    halves = (slice(None, n // 2), slice(n // 2, None))
    level = compare([part(rows, 0) for rows in halves], ["s"], 0.3)
    moved = compare([part(rows, shift) for rows, shift in zip(halves, (0, 5), strict=True)], ["s"], 0.3)
    assert moved["s"].over_random.value == pytest.approx(level["s"].over_random.value, abs=1e-12)
    # The true gain of treating the best 30 % of x: E[(1{x > .7} - .3) .3 x].
    truth = 0.3 * (0.3 * 0.85 - 0.3 * 0.5)
    assert abs(level["s"].over_random.value - truth) < 3 * level["s"].over_random.std_error
