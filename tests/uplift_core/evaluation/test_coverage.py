"""The proof can fail: it notices intervals that are too narrow and a gate that opens too often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import Cells
from uplift_core.evaluation import coverage, procedure
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.gate import Candidate, Comparison, Judged, judge
from uplift_core.learners import fit_contrast


def shares(**options: int) -> dict[tuple[str, str], coverage.Proof]:
    return {(p.design, p.claim): p for p in coverage.prove(60, 500, **options)}


@pytest.fixture(scope="module")
def by_claim() -> dict[tuple[str, str], coverage.Proof]:
    return shares()


def test_every_figure_is_proven_at_both_shares(by_claim) -> None:
    designs = {"marketing, e = 0.5", "marketing, e = 0.85"}
    covers = {f"covers {name}" for name in coverage.FIGURES}
    tests = {
        ("constant effect", "paired test rejects"),
        ("few spend most", "covers capped effect"),
    }
    nothing = {
        (coverage.NULL, claim)
        for claim in ("learner beats random", "learner beats response", "gate opens")
    }
    assert set(by_claim) == {(d, c) for d in designs for c in covers} | tests | nothing
    assert all(p.replications == (6 if key in nothing else 60) for key, p in by_claim.items())


def test_the_claims_hold(by_claim) -> None:
    assert [p for p in by_claim.values() if not p.holds] == []


def test_the_same_seed_gives_the_same_proof(by_claim) -> None:
    assert repr(shares()) == repr(by_claim)


def test_intervals_of_half_the_width_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "Z95", coverage.Z95 / 2)
    proofs = shares()
    assert all(not p.holds for p in proofs.values() if p.claim.startswith("covers"))


def test_a_gate_that_always_opens_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    sure = Candidate(*[Estimate(1.0, 0.1)] * 3, 1.0, 9.0, 9.0, 2.0, 2.0)
    opens = judge(Comparison({"x": sure}, sure.over_random), Judged(1_000, 400), 0.3)
    monkeypatch.setattr(coverage, "judge_experiment", lambda *_, **__: opens)
    assert not any(p.holds for p in coverage._nothing_to_find(12, 500, 0, 1))


def test_learners_that_are_judged_by_the_users_that_trained_them_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the proof is for: with fixed rankings no such fault could show."""

    def in_sample(cells: Cells, parameters: LearnerParameters, threads: int, *_: Any) -> Iterator:
        model = fit_contrast(cells, parameters, threads)
        return ((fold, model) for fold in range(1, cells.n_folds))

    monkeypatch.setattr(procedure, "sequential_fit", in_sample)
    proofs = coverage._nothing_to_find(12, 2_000, 0, 1)
    assert not next(p for p in proofs if p.claim == "learner beats random").holds
