"""The champion and the gate's word."""

from __future__ import annotations

import numpy as np
import pytest

from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.gate import (
    Candidate,
    Comparison,
    Judged,
    Verdict,
    compare,
    fewer_events,
    judge,
)
from uplift_core.evaluation.groups import JointGroups, joint_groups
from uplift_core.evaluation.policy import gain_over_random

CRITICAL = 2.1


def candidate(z_random: float, z_response: float, error: float = 0.001) -> Candidate:
    """Figures of which each is ``error`` times its z."""
    gain, over = z_random * error, z_response * error
    figures = Estimate(gain, error), Estimate(over, error), Estimate(gain, error)
    return Candidate(*figures, gain, z_random, z_response, CRITICAL, CRITICAL)


def verdict_on(candidates: dict[str, Candidate], events: int = 400, n: int = 1000) -> Verdict:
    comparison = Comparison(candidates, Estimate(0.0, 1.0))
    return judge(comparison, Judged(n, events), 0.3)


def test_the_best_of_those_that_beat_both_is_the_champion() -> None:
    verdict = verdict_on({"s": candidate(10, 1), "t": candidate(8, 6), "x": candidate(9, 5)})
    assert (verdict.word, verdict.champion, verdict.runner_up) == ("passed", "x", "s")
    assert verdict.findings["x"].needed is None
    assert "'x' beats random targeting" in verdict.findings["x"].reason


def test_each_learner_has_a_separate_word() -> None:
    candidates = {"s": candidate(10, 1), "t": candidate(8, 6), "x": candidate(4.5, -2.5, error=0.002)}
    verdict = verdict_on(candidates)
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
    verdict = verdict_on({"s": candidate(10, 1), "t": candidate(4, -2)})
    assert (verdict.word, verdict.champion) == ("inconclusive", "s")
    finding = verdict.findings["s"]
    assert "is not shown to beat the response model" in finding.reason
    # 80 % power want z = 2.1 + .84; it is 1 with 1,000 users.
    assert finding.needed == pytest.approx(1000 * (CRITICAL + 0.84162) ** 2, abs=1)
    assert finding.detectable == pytest.approx(0.001 * (CRITICAL + 0.84162), abs=1e-7)


def test_the_sentence_says_what_its_errors_are_and_what_z_is_of() -> None:
    """It stands alone in the API's answers and in manifests."""
    text = verdict_on({"s": candidate(10, 1)}).text
    assert "(+0.01000 per user, standard error 0.00100; z = 10.00, needed 2.10)" in text
    assert "z is that of the gain averaged over budgets up to 60%" in text
    assert "±" not in text


def test_no_number_of_users_settles_a_gain_below_0() -> None:
    verdict = verdict_on({"s": candidate(-0.5, 3)})
    assert (verdict.word, verdict.findings["s"].needed) == ("inconclusive", None)


def test_few_events_are_refused_whatever_z_says() -> None:
    few = verdict_on({"s": candidate(10, 10)}, events=29)
    assert few.word == "inconclusive"
    assert "the judged users of one arm hold 29 with an outcome, and 30 are needed" in few.text
    assert few.findings["s"].needed == pytest.approx(1000 * 30 / 29, abs=1)
    assert verdict_on({"s": candidate(10, 10)}, events=30).word == "passed"
    assert verdict_on({"s": candidate(10, 10)}, events=0).findings["s"].needed is None


def test_without_a_judged_fold_nothing_is_shown() -> None:
    verdict = judge(compare([], ["s", "x"], 0.3), Judged(10, 0), 0.3)
    assert verdict.word == "inconclusive"
    assert verdict.comparison.candidates["s"].critical_random == pytest.approx(1.645, abs=0.02)


def test_the_stack_decides_whatever_others_show() -> None:
    verdict = verdict_on({"s": candidate(10, 8), "x": candidate(9, 7), "stack": candidate(3, 1)})
    assert (verdict.champion, verdict.runner_up, verdict.word) == ("stack", "s", "inconclusive")
    assert verdict.findings["s"].word == "passed"


def test_the_stack_is_tested_alone_and_the_others_together() -> None:
    """Nothing is chosen where one learner decides, so its test is not corrected for others."""
    rng = np.random.default_rng(5)
    n = 2000
    w, mu0 = (rng.random(n) < 0.5).astype(float), np.full(n, 0.2)
    y = (rng.random(n) < 0.2).astype(float)
    scores = {name: rng.random(n) for name in ("s", "x", "t", "stack", "response")}
    fold = joint_groups(scores, w, y, mu0=mu0, mu1=mu0, propensity=0.5)
    together = compare([fold, fold], ["s", "x", "t", "stack"], 0.3)
    without = compare([fold, fold], ["s", "x", "t"], 0.3)
    alone = compare([fold, fold], ["stack"], 0.3)
    assert list(together.candidates) == ["s", "x", "t", "stack"]
    assert together.candidates["stack"] == alone.candidates["stack"]
    for name in ("s", "x", "t"):
        assert together.candidates[name] == without.candidates[name]
        assert together.candidates[name].critical_random > 2
    assert together.candidates["stack"].critical_random == pytest.approx(1.645, abs=0.02)
    gain = spread_gain(fold)
    assert together.procedure.value == pytest.approx(gain.value)


def spread_gain(fold: JointGroups) -> Estimate:
    return gain_over_random(fold.by("stack")[0], 0.3)


def test_events_are_those_of_the_arm_with_fewer() -> None:
    assert fewer_events(np.array([1, 2.5, 0, -1, 0]), np.array([1, 1, 1, 0, 0])) == 1


def test_where_users_are_in_clusters_the_clusters_with_an_event_are_counted() -> None:
    y, w = np.array([1, 1, 1, 0, 1, 1]), np.array([1, 1, 1, 1, 0, 0])
    assert fewer_events(y, w, np.array([0, 0, 0, 0, 1, 2])) == 1
    few = judge(
        Comparison({"s": candidate(10, 10)}, Estimate(0.0, 1.0)),
        Judged(1000, 29, clustered=True),
        0.3,
    )
    assert few.word == "inconclusive"
    assert "hold 29 clusters with an outcome, and 30 are needed" in few.text


def test_each_fold_is_ranked_by_itself() -> None:
    """Scores of different folds' models may differ in level; the comparison must not care."""
    rng = np.random.default_rng(3)
    n = 4000
    x = rng.random(n)
    w, mu0 = (rng.random(n) < 0.5).astype(float), np.full(n, 0.2)
    y = (rng.random(n) < 0.2 + 0.3 * w * x).astype(float)
    scores = {"s": x, "response": rng.random(n)}

    def part(rows: slice, shift: float):
        in_part = {name: score[rows] + shift for name, score in scores.items()}
        fitted = {"mu0": mu0[rows], "mu1": mu0[rows] + 0.15}
        return joint_groups(in_part, w[rows], y[rows], **fitted, propensity=0.5)

    halves = (slice(None, n // 2), slice(n // 2, None))

    def compared(shifts: tuple[int, int]) -> Candidate:
        folds = [part(rows, shift) for rows, shift in zip(halves, shifts, strict=True)]
        return compare(folds, ["s"], 0.3).candidates["s"]

    level, moved = compared((0, 0)), compared((0, 5))
    assert moved.over_random.value == pytest.approx(level.over_random.value, abs=1e-12)
    assert moved.z_random == pytest.approx(level.z_random, abs=1e-9)
    # The true gain of treating the best 30 % of x: E[(1{x > .7} - .3) .3 x].
    truth = 0.3 * (0.3 * 0.85 - 0.3 * 0.5)
    assert abs(level.over_random.value - truth) < 3 * level.over_random.std_error
    assert abs(level.over_nobody.value - 0.3 * 0.3 * 0.85) < 3 * level.over_nobody.std_error
    assert moved.over_nobody == level.over_nobody


def test_the_procedures_gain_is_that_of_who_led_before() -> None:
    """X at first; then whoever leads. The fold that chooses a learner does not judge it."""
    rng = np.random.default_rng(4)
    n = 3000
    x = rng.random(n)
    w = (rng.random(n) < 0.5).astype(float)
    y = (rng.random(n) < 0.2 + 0.3 * w * x).astype(float)
    scores = {"s": x, "x": -x, "response": rng.random(n)}

    def part(rows: slice):
        in_part = {name: score[rows] for name, score in scores.items()}
        fitted = np.full(n, 0.2)[rows]
        return joint_groups(in_part, w[rows], y[rows], mu0=fitted, mu1=fitted + 0.15, propensity=0.5)

    folds = [part(slice(start, start + 1000)) for start in (0, 1000, 2000)]
    gains = [{name: gain_over_random(fold.by(name)[0], 0.3) for name in ("s", "x")} for fold in folds]
    procedure = compare(folds, ["s", "x"], 0.3).procedure
    expected = [gains[0]["x"], gains[1]["s"], gains[2]["s"]]
    assert procedure.value == pytest.approx(np.mean([gain.value for gain in expected]))
    errors = np.array([gain.std_error for gain in expected])
    assert procedure.std_error == pytest.approx(np.sqrt(np.sum(errors**2)) / 3)
