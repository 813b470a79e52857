"""The evaluator's proof is made once per version of code and libraries."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from dagster_project.evaluation import stored_proof
from dagster_project.evaluation.stored_proof import stored_or_new_proof
from uplift_core.evaluation.coverage import Proof, prove

HOLDS = Proof(
    design="rct",
    claim="gate opens",
    truth=math.nan,
    mean=math.nan,
    share=0.025,
    nominal=0.05,
    monte_carlo_error=0.034,
    replications=40,
    holds=True,
)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Proof]:
    """What a new proof consists of; one more ``HOLDS`` each time."""
    proofs: list[Proof] = []

    def prove(*_: int) -> tuple[Proof, ...]:
        proofs.append(HOLDS)
        return tuple(proofs)

    monkeypatch.setattr(stored_proof, "_prove", prove)
    return proofs


def test_a_proof_of_several_processes_is_that_of_one() -> None:
    assert repr(stored_proof._prove(12, 500)) == repr(tuple(prove(12, 500)))


def test_a_proof_is_made_once(tmp_path: Path, made: list[Proof]) -> None:
    proofs, was_stored = stored_or_new_proof(tmp_path / "proofs", 400, 2000)
    assert (len(proofs), was_stored) == (1, False)
    again, was_stored = stored_or_new_proof(tmp_path / "proofs", 400, 2000)
    assert was_stored
    assert str(again) == str(proofs)  # NaN is not equal to itself
    assert len(made) == 1


def test_other_numbers_code_or_libraries_need_another(
    tmp_path: Path, made: list[Proof], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_or_new_proof(tmp_path, 400, 2000)
    stored_or_new_proof(tmp_path, 300, 2000)
    monkeypatch.setattr(stored_proof, "code_digest", lambda: "of other code")
    stored_or_new_proof(tmp_path, 400, 2000)
    assert len(made) == 3


@pytest.mark.parametrize("content", ["", "{", "[{}]", "[1]", "[]", "{}"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, made: list[Proof], content: str) -> None:
    stored_or_new_proof(tmp_path, 400, 2000)
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    _, was_stored = stored_or_new_proof(tmp_path, 400, 2000)
    assert (len(made), was_stored) == (2, False)
    assert stored_or_new_proof(tmp_path, 400, 2000)[1]


def test_a_proof_that_fails_is_not_kept(tmp_path: Path, made: list[Proof]) -> None:
    made.append(replace(HOLDS, holds=False))
    proofs, _ = stored_or_new_proof(tmp_path, 400, 2000)
    assert not all(proof.holds for proof in proofs)
    assert list(tmp_path.iterdir()) == []


def test_the_digest_changes_with_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for content in ("a = 1", "a = 2"):
        (tmp_path / "__init__.py").write_text(content)
        monkeypatch.setattr(stored_proof.uplift_core, "__file__", str(tmp_path / "__init__.py"))
        digests.add(stored_proof.code_digest.__wrapped__())
    assert len(digests) == 2
