"""A failed proof names the property that does not hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.assets import proof
from dagster_project.assets.proof import evaluator
from dagster_project.job_runs import failure
from dagster_project.resources import Engine
from tests.support import QUIET, failure_text
from uplift_core.evaluation.coverage import Proof


def test_the_step_and_the_run_name_the_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Proof(
        design="rct",
        claim="covers gain at 30%",
        truth=0.1,
        mean=0.1,
        share=0.95,
        nominal=0.95,
        monte_carlo_error=0.011,
        replications=400,
        holds=True,
    )
    wrong = replace(right, claim="covers autoc", share=0.71, holds=False)
    monkeypatch.setattr(proof, "stored_or_new_proof", lambda *_: ((right, wrong), False))
    done = dg.materialize(
        [evaluator],
        resources={"engine": Engine(home=str(tmp_path))},
        run_config=QUIET,
        raise_on_error=False,
    )
    said = "1 of 2 claims do not hold: rct: covers autoc 0.710 where it should be 0.95"
    assert failure_text(done) == f"proof/evaluator, check holds: {said}"
    assert failure(done) == ("proof/evaluator, check holds", said)
