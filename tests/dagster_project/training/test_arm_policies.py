"""What a run of Hillstrom, with two treatments, learns about its arms together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dagster_project.training.arm_policies import judge_policies, read_effect_maps
from dagster_project.warehouse.connection import Warehouse
from tests.support import dicts, folder_of, opened, with_experiment
from uplift_core.artifacts import bundle
from uplift_core.artifacts.home import Home
from uplift_core.evaluation.arm_gate import MULTI_ARM

HILLSTROM = folder_of("hillstrom")
TREATMENTS = HILLSTROM.declaration.treatments


@pytest.fixture(scope="module")
def finished(hillstrom_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    home = Home(tmp_path_factory.mktemp("arm_policies"))
    home.warehouse.write_bytes((hillstrom_home / "warehouse.duckdb").read_bytes())
    with opened(home) as db:
        yield db


def test_the_bundle_has_the_maps_of_the_table(finished: Warehouse, hillstrom_home: Path) -> None:
    (folder,) = (hillstrom_home / "bundles").glob("hillstrom-*")
    maps = bundle.load(folder).manifest.effect_maps
    assert maps == read_effect_maps(finished, HILLSTROM)
    assert set(maps) == set(TREATMENTS)


def test_a_policy_is_judged_at_each_budget_on_the_folds_after_the_first(finished: Warehouse) -> None:
    rows = dicts(finished, "from models.arm_policies where experiment = 'hillstrom'", {})
    (judged,) = finished.one(
        "select count(*) from assignment.hillstrom where split = 'train' and fold > 0"
    )
    assert {row["n"] for row in rows} == {judged}
    by_budget: dict[float, list[dict]] = {}
    for row in rows:
        by_budget.setdefault(row["budget"], []).append(row)
    assert HILLSTROM.declaration.defaults.budget in by_budget
    for budget, policies in by_budget.items():
        assert {row["policy"] for row in policies} == {MULTI_ARM, *TREATMENTS}
        alone = [row for row in policies if row["policy"] != MULTI_ARM]
        passed = all(row["z"] > row["critical"] for row in alone)
        assert {row["word"] for row in policies} == {"passed" if passed else "inconclusive"}
        best = max(alone, key=lambda row: row["gain"])["policy"]
        assert {row["decider"] for row in policies} == {MULTI_ARM if passed else best}
        for row in policies:
            treated = sum(json.loads(row["arm_shares"]).values())
            assert treated == pytest.approx(row["spend"])  # no costs are declared: each counts 1
            assert treated <= budget + 1e-9
        (multi,) = (row for row in policies if row["policy"] == MULTI_ARM)
        for row in alone:
            assert row["lead"] == pytest.approx(multi["gain"] - row["gain"], abs=1e-9)


def test_the_gain_of_one_arm_for_all_is_the_average_effect(finished: Warehouse) -> None:
    """With a budget for everybody, 'mens' alone treats nearly all users."""
    (row,) = dicts(
        finished,
        "from models.arm_policies where experiment = 'hillstrom' and budget = 1 and policy = 'mens'",
        {},
    )
    plain, n, m = finished.one(
        "select avg(visit) filter (arm = 'mens') - avg(visit) filter (arm = 'none'), "
        "count(*) filter (arm = 'mens'), count(*) filter (arm = 'none') "
        "from assignment.hillstrom where split = 'train' and fold > 0"
    )
    error = np.sqrt(0.183 * 0.817 / n + 0.106 * 0.894 / m)  # of the shares of visits in both arms
    assert row["spend"] > 0.98
    assert row["gain"] == pytest.approx(plain, abs=error)
    assert row["std_error"] == pytest.approx(error, rel=0.1)


def test_the_card_says_which_policy_decides(finished: Warehouse) -> None:
    (card,) = finished.one("select card from models.cards where experiment = 'hillstrom'")
    (reason,) = finished.one(
        "select distinct reason from models.arm_policies where experiment = 'hillstrom' and budget = 0.3"
    )
    assert "## Several arms" in card
    assert reason in card


def test_one_treatment_and_users_in_clusters_are_not_judged(simulated_home: Path) -> None:
    (folder,) = (simulated_home / "bundles").glob("simulated-*")
    assert "effect_maps" not in json.loads((folder / "manifest.json").read_text())
    clustered = with_experiment(HILLSTROM, cluster="street")
    assert judge_policies(None, clustered, {}) is None  # type: ignore[arg-type]
