"""The proof can fail: it notices intervals that are too narrow and a gate that opens too often."""

from __future__ import annotations

from dataclasses import replace

import pytest

from uplift_core.evaluation import coverage
from uplift_core.evaluation.estimate import Estimate


def shares(**options: int) -> dict[tuple[str, str], coverage.Proof]:
    return {(p.design, p.claim): p for p in coverage.prove(60, 500, **options)}


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str], coverage.Proof]:
    return shares()


def test_every_figure_is_proven_at_both_shares(found) -> None:
    designs = {"marketing, e = 0.5", "marketing, e = 0.85"}
    covers = {f"covers {name}" for name in coverage.FIGURES}
    tests = {("constant effect", "paired test rejects"), ("constant effect", "gate opens")}
    assert set(found) == {(d, c) for d in designs for c in covers} | tests
    assert all(p.replications == 60 for p in found.values())


def test_the_claims_hold(found) -> None:
    assert [p for p in found.values() if not p.holds] == []


def test_the_same_seed_gives_the_same_proof(found) -> None:
    assert repr(shares()) == repr(found)


def test_intervals_of_half_the_width_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(figure):
        def half(groups) -> Estimate:
            estimate = figure(groups)
            return replace(estimate, std_error=estimate.std_error / 2)

        return half

    halved = {name: narrow(figure) for name, figure in coverage.FIGURES.items()}
    monkeypatch.setattr(coverage, "FIGURES", halved)
    proofs = shares()
    assert all(not p.holds for p in proofs.values() if p.claim.startswith("covers"))


def test_a_gate_that_always_opens_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    open_gate = type("Verdict", (), {"word": "passed"})
    monkeypatch.setattr(coverage, "judge", lambda *_: open_gate)
    (opens,) = (p for p in coverage._no_difference(60, 500, 0) if p.claim == "gate opens")
    assert not opens.holds
