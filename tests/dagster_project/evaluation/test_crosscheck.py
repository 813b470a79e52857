"""The comparison with econml, where features are missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dagster_project.evaluation import stored_crosscheck
from dagster_project.evaluation.crosscheck import Sample, crosscheck
from dagster_project.evaluation.stored_crosscheck import stored_or_new_crosscheck
from tests.support import few_rounds, folder_of
from uplift_core.cells import UserRows
from uplift_core.learners import SINGLE_LEARNERS
from uplift_core.simulation.rct import marketing_rct

USERS = 4_000


def sample_with_missing_values() -> Sample:
    users = next(marketing_rct(USERS, seed=5))
    draw = np.random.default_rng(6)
    x = users.x.astype(np.float32)
    x[draw.random(USERS) < 0.2, 0] = np.nan
    rows = UserRows(
        x=x,
        w=users.w.astype(np.int8),
        y=users.y,
        fold=draw.integers(0, 5, USERS).astype(np.int8),
        propensity=0.5,
        binary=True,
    )
    return Sample(tuple(f"x{i}" for i in range(x.shape[1])), rows, train=draw.random(USERS) < 0.7)


def test_missing_values_are_taken_alike_by_all_learners() -> None:
    sample = sample_with_missing_values()
    figures = crosscheck(few_rounds(folder_of("simulated")), "treated", sample)
    difference = {row["learner"]: row["value"] for row in figures if row["tier"] == 1}
    assert difference.keys() == set(SINGLE_LEARNERS)
    assert max(difference.values()) < 1e-5


def test_a_comparison_is_repeated_only_for_other_users_code_or_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    def compare(*_: Any, **__: Any) -> list[dict[str, Any]]:
        made.append({"value": len(made)})
        return [*made]

    monkeypatch.setattr(stored_crosscheck, "crosscheck", compare)
    sample = sample_with_missing_values()
    other = replace(sample, users=replace(sample.users, y=1 - sample.users.y))

    def compared(users: Sample = sample) -> tuple[list[dict[str, Any]], bool]:
        return stored_or_new_crosscheck(tmp_path, folder_of("simulated"), "treated", users, 1)

    assert compared() == ([{"value": 0}], False)
    assert compared() == ([{"value": 0}], True)
    assert not compared(other)[1]
    monkeypatch.setattr(stored_crosscheck, "code_digest", lambda: "of other code")
    assert not compared(other)[1]
    monkeypatch.setattr(stored_crosscheck, "version", lambda _: "of another library")
    assert not compared(other)[1]
    (file,) = tmp_path.iterdir()
    file.write_text("{}")
    assert not compared(other)[1]
    assert len(made) == 5
