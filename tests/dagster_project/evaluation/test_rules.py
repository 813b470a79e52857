"""The readable rules of a run: their SQL is the engine's rule, their figures are the users'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dagster_project.scores.predictions import outcome_columns
from dagster_project.training.cells import features_of
from dagster_project.training.rules import read_rules
from tests.support import folder_of, opened
from uplift_core.artifacts.home import Home
from uplift_core.evaluation.estimate import Estimate

USERS = """
select features.*, assignment.arm, visit::double as y, {mu0}::double as mu0, {mu1}::double as mu1,
    cate_stack::double as score
from features.hillstrom as features
join training.hillstrom_user_cells using (user_id)
join assignment.hillstrom as assignment using (user_id)
join training.hillstrom_predictions as predicted on predicted.cell = hillstrom_user_cells.cell
    and predicted.arm = 'womens'
where split = 'holdout' and assignment.arm in ('womens', 'none')
"""


@pytest.fixture(scope="module")
def held_out(hillstrom_home: Path) -> pd.DataFrame:
    """The held-out users of the women's e-mail and the control, with phi."""
    mu0, mu1 = outcome_columns("visit")
    with opened(Home(hillstrom_home)) as db:
        users = db.arrow(USERS.format(mu0=mu0, mu1=mu1)).to_pandas()
    w, y = (users["arm"] == "womens").to_numpy(float), users["y"].to_numpy()
    phi = users["mu1"] - users["mu0"]
    phi += w * (y - users["mu1"]) / 0.5 - (1 - w) * (y - users["mu0"]) / 0.5
    return users.assign(phi=phi)


def gain(ranking: np.ndarray, phi: np.ndarray, budget: float) -> float:
    """Compute the gain over random as defined: users of equal rank are treated in equal shares."""
    treated, left = np.zeros(len(phi)), budget * len(phi)
    for value in sorted(set(ranking), reverse=True):
        inside = ranking == value
        treated[inside] = min(1.0, left / inside.sum())
        left -= treated[inside].sum()
    return float(np.mean((treated - budget) * phi))


def test_the_sql_of_a_rule_decides_about_each_user_as_the_engine_does(hillstrom_home: Path) -> None:
    experiment = folder_of("hillstrom")
    with opened(Home(hillstrom_home)) as db:
        trees = read_rules(db, experiment, "womens")
        written = db.rows("select sql from models.rules where arm = 'womens' order by depth")
        names = list(features_of(db, experiment))
        chances = ", ".join(f"({sql})::double as chance_{i}" for i, (sql,) in enumerate(written))
        users = db.arrow(f"select *, {chances} from features.hillstrom").to_pandas()
    assert [tree.depth for tree in trees] == [1, 2]
    for i, tree in enumerate(trees):
        leaf = tree.leaf_of(users[names].to_numpy(np.float32))
        treated = np.array([leaf.treated for _, leaf in tree.leaves()])[leaf]
        assert treated.tolist() == pytest.approx(users[f"chance_{i}"].tolist(), abs=1e-12)
        assert np.mean(treated) == pytest.approx(0.3, abs=0.01)


def test_a_rules_gain_is_that_of_its_users_beside_the_scores(
    hillstrom_home: Path, held_out: pd.DataFrame
) -> None:
    with opened(Home(hillstrom_home)) as db:
        trees = read_rules(db, folder_of("hillstrom"), "womens")
        names = list(features_of(db, folder_of("hillstrom")))
        rules = db.arrow("from evaluation.rules where arm = 'womens' order by depth").to_pylist()
        leaves = db.arrow("from evaluation.rule_leaves where arm = 'womens'").to_pylist()
        (best,) = db.rows(
            "select gain_over_random, gain_std_error from evaluation.policy_value where arm = 'womens' "
            "and outcome = 'visit' and learner = 'stack' and estimator = 'aipw' and budget = .3"
        )
    phi = held_out["phi"].to_numpy()
    by_score = gain(held_out["score"].to_numpy(), phi, 0.3)
    for tree, rule in zip(trees, rules, strict=True):
        leaf = tree.leaf_of(held_out[names].to_numpy(np.float32))
        effects = np.array([leaf.effect for _, leaf in tree.leaves()])
        by_rule = gain(effects[leaf], phi, 0.3)
        assert rule["gain_over_random"] == pytest.approx(by_rule, abs=1e-8)
        assert rule["difference"] == pytest.approx(by_rule - by_score, abs=1e-8)
        assert rule["share"] == pytest.approx(by_rule / by_score, rel=1e-5)
        assert (rule["learner_gain"], rule["learner_gain_std_error"]) == pytest.approx(best, abs=1e-12)
        assert 0 < rule["difference_std_error"] < rule["gain_std_error"] + rule["learner_gain_std_error"]
        assert Estimate(rule["difference"], rule["difference_std_error"]).verdict == rule["verdict"]
        for row in (row for row in leaves if row["depth"] == tree.depth):
            inside = phi[leaf == row["leaf"] - 1]
            assert row["n"] == len(inside)
            assert row["effect"] == pytest.approx(inside.mean(), abs=1e-8)
            assert row["std_error"] == pytest.approx(inside.std() / np.sqrt(len(inside)), rel=1e-6)
