"""Exploration near the cut: exact chances, fair comparisons, and what exploration costs."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from dagster_project.decisions.exploration import near_band
from dagster_project.decisions.facts import ListOrder, read_facts
from dagster_project.decisions.records import Night
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from tests.dagster_project.decisions.test_roles import experiment, make, treated
from tests.dagster_project.decisions.test_usual import give
from tests.support import opened, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.experiment.decision_rules import ContactCap, Decisions
from uplift_core.targeting.budget import Budget, list_size

RULES = Decisions(holdout=0.2, explore=0.1, explore_near=0.2, explore_band=0.1)
KINDS, DRAWS = 100, 200


def of_kind(rows: list[dict], *decisions: str, only: str = "treated") -> np.ndarray:
    """Count users by kind: of some decisions, with a flag."""
    kinds = [r["user_id"] % KINDS for r in rows if r["decision"] in decisions and r[only]]
    return np.bincount(kinds, minlength=KINDS)


@pytest.mark.parametrize("usual", ["", "random", "response"])
@pytest.mark.parametrize("cut", ["size", "threshold"])
def test_propensities_are_how_often_users_are_treated_over_draws(
    db: Warehouse, usual: str, cut: str
) -> None:
    """200 users who are alike in all but their id have 200 independent draws."""
    give(db, KINDS * DRAWS, kinds=KINDS)
    as_usual = {"usual": 0.1, "usual_rule": usual} if usual else {}
    rules = RULES.model_copy(update={"cut": cut, **as_usual})
    rows = make(db, experiment(rules), Budget(share=0.3))
    kind = np.array([r["user_id"] for r in rows]) % KINDS
    counts = np.bincount(kind, [r["treated"] for r in rows])
    chance = np.bincount(kind, [r["propensity"] for r in rows]) / DRAWS
    z = (counts - DRAWS * chance) / np.sqrt(DRAWS * chance * (1 - chance))
    assert np.abs(z).max() < 4.5
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.3
    exploring = [r["user_id"] % KINDS for r in rows if r["decision"] == "explore_near"]
    near = np.isin(np.arange(KINDS), exploring)
    assert 0.1 < near.mean() < 0.4
    assert chance[near].max() < 0.68, "chance decides about more users near the cut"
    assert chance[near].min() > 0.1


def test_a_list_that_explores_near_the_cut_has_its_size_and_ranks(db: Warehouse) -> None:
    give(db, 501)
    rows = make(db, experiment(RULES), Budget(share=0.3))
    able = [r for r in rows if r["rank"]]
    size = list_size(0.3, 501)
    assert sorted(r["rank"] for r in able) == list(range(1, len(able) + 1))
    assert treated(rows) == {r["user_id"] for r in able if r["rank"] <= size}
    near = [r for r in rows if r["decision"] == "explore_near"]
    assert sum(r["treated"] for r in near) == len(near) // 2 > 5


def test_treated_users_and_their_holdout_are_alike_near_the_cut_and_far_from_it(db: Warehouse) -> None:
    give(db, KINDS * DRAWS, kinds=KINDS)
    rows = make(db, experiment(RULES), Budget(share=0.3))
    listed, held_out = of_kind(rows, "treat"), of_kind(rows, "holdout", only="selected")
    near = of_kind(rows, "explore_near", only="selected") > 0
    ratios = [held_out[which].sum() / listed[which].sum() for which in (near, ~near)]
    errors = [1 / held_out[which].sum() + 1 / listed[which].sum() for which in (near, ~near)]
    assert listed[near].sum() > 200
    assert np.log(ratios[0] / ratios[1]) == pytest.approx(0, abs=4 * np.sqrt(sum(errors)))


def nights(home: Home, simulated: BatchExperiment, **rules: float) -> tuple[Night, BatchExperiment]:
    folder = with_experiment(simulated, decisions=Decisions(holdout=0.1, **rules))
    with opened(home) as db:
        order = ListOrder("2026-01-01", "treated", Budget(share=0.3), override="test")
        return write_treat_list(db, folder, order, assign_roles), folder


def test_the_cost_of_exploration_is_what_held_out_users_lose_by_it(
    home: Home, simulated: BatchExperiment
) -> None:
    night, folder = nights(home, simulated, explore=0.2)
    with opened(home) as db:
        order = ListOrder("2026-01-02", "treated", Budget(share=0.3))
        groups = read_facts(db, folder, order).held_out_groups
    share = night.explored / (0.2 * night.users)
    cut = np.sort(np.repeat(groups.score, groups.n.astype(int)))[-int(share * groups.n_users)]
    chosen = groups.score >= cut
    weight = 0.2 * (chosen - share)
    per_user = float(np.sum(weight * groups.phi)) / groups.n_users
    variance = float(np.sum(weight**2 * groups.phi_sq)) / groups.n_users - per_user**2
    error = np.sqrt(variance / groups.n_users)
    assert night.exploration_loss == pytest.approx(per_user * night.users, rel=0.1)
    assert night.exploration_loss_std_error == pytest.approx(error * night.users, rel=0.1)
    assert night.exploration_loss > night.exploration_loss_std_error


def test_exploration_near_the_cut_costs_less_a_user_than_everywhere(
    home: Home, simulated: BatchExperiment
) -> None:
    none, _ = nights(home, simulated, explore=0.0)
    assert (none.exploration_loss, none.exploration_loss_std_error) == (0.0, 0.0)
    everywhere, _ = nights(home, simulated, explore=0.2)
    near, _ = nights(home, simulated, explore=0.0, explore_near=0.2, explore_band=0.1)
    assert near.explored_near > 20
    assert near.exploration_loss < everywhere.exploration_loss / 4


def test_a_budget_in_money_has_no_cut_before_users_are_ranked(
    home: Home, simulated: BatchExperiment
) -> None:
    folder = with_experiment(simulated, decisions=RULES)
    with opened(home) as db:
        scores = read_facts(
            db, folder, ListOrder("2026-01-02", "treated", Budget(share=0.3))
        ).held_out_scores
        with pytest.raises(DataError, match="explore_near needs a budget that is a share"):
            near_band(scores, RULES, Budget(money=10.0), 100)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"explore_near": 0.96}, "sum is 1 or more"),
        ({"explore_near": 0.1, "cost_column": "postage"}, "near the threshold"),
        ({"explore_near": 0.1, "contact_cap": ContactCap(treatments=1, days=7)}, "beside contact_cap"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(rules: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Decisions(**rules)
