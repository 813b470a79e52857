"""Anybody's scores are evaluated as the engine evaluates its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv as pc
import pytest
from econml.metalearners import TLearner
from sklearn.linear_model import LinearRegression
from sklift.metrics import qini_auc_score, uplift_at_k

import uplift_core as uplift
from tests.support import Open
from uplift_core.errors import DataError
from uplift_core.library.any_scores import Evaluation
from uplift_core.simulation.rct import marketing_rct

N = 4_000


def simulated(e: float = 0.5) -> dict[str, np.ndarray]:
    users = next(marketing_rct(N, 3, treated_share=e))
    rng = np.random.default_rng(4)
    return {"y": users.y, "arm": users.w, "effect": users.cate, "noise": rng.random(N), "mu0": users.mu0}


def evaluated(e: float = 0.5, **options: object) -> Evaluation:
    users = simulated(e)
    scores = {name: users[name] for name in ("effect", "noise")}
    return uplift.evaluate(users["y"], users["arm"], scores, e=e, **options)


def test_figures_of_published_scores_are_the_published_ones(
    hillstrom_home: Path, snapshot: Open
) -> None:
    con = snapshot(hillstrom_home)
    rows = con.execute(
        "select visit, a.arm = 'womens' as w, cate_s, cate_x, cate_stack "
        "from scores.hillstrom as s join assignment.hillstrom as a using (user_id) "
        "where s.arm = 'womens' and a.split = 'holdout' and a.arm in ('womens', 'none')"
    ).fetchall()
    y, w, s, x, stack = (np.asarray(column, dtype=float) for column in zip(*rows, strict=True))
    evaluation = uplift.evaluate(y, w, {"s": s, "x": x, "stack": stack}, e=0.5)
    published = dict(
        con.execute(
            "select learner, value from evaluation.metrics where arm = 'womens' and outcome = 'visit' "
            "and metric = 'qini_auc'"
        ).fetchall()
    )
    gains = {
        learner: (gain, error)
        for learner, gain, error in con.execute(
            "select learner, gain_over_random, gain_std_error from evaluation.policy_value where "
            "arm = 'womens' and outcome = 'visit' and budget = 0.3 and estimator = 'aipw'"
        ).fetchall()
    }
    for name in ("s", "x", "stack"):
        assert evaluation.figure(name, "qini_auc").value == pytest.approx(published[name], abs=1e-12)
        # Without models of the outcome the gain has another, a little larger error.
        gain = evaluation.figure(name, "gain_over_random", "random")
        assert abs(gain.value - gains[name][0]) < gains[name][1]
        assert gains[name][1] < gain.std_error < 1.1 * gains[name][1]


def test_figures_are_scikit_uplifts_where_it_has_them() -> None:
    users = simulated()
    evaluation = evaluated()
    for name in ("effect", "noise"):
        columns = (users["y"], users[name], users["arm"])
        expected = {
            "qini_auc": qini_auc_score(*columns),
            "uplift_at_30": uplift_at_k(*columns, strategy="overall", k=0.3),
        }
        for metric, value in expected.items():
            assert evaluation.figure(name, metric).value == pytest.approx(value, rel=1e-12)


def test_econmls_scores_of_hillstrom_have_scikit_uplifts_figures(hillstrom_file: Path) -> None:
    features = ["recency", "history", "mens", "womens", "newbie"]
    users = pc.read_csv(hillstrom_file).to_pandas()
    users = users[users["segment"] != "Mens E-Mail"]
    x, y = users[features].to_numpy(dtype=float), users["visit"].to_numpy(dtype=float)
    w = (users["segment"] == "Womens E-Mail").to_numpy().astype(int)
    train = np.arange(len(y)) % 2 == 0
    peer = TLearner(models=LinearRegression()).fit(y[train], w[train], X=x[train])
    score = peer.effect(x[~train])
    evaluation = uplift.evaluate(y[~train], w[~train], {"econml": score}, e=0.5, budget=0.25)
    assert len(np.unique(score)) < len(score)  # equal scores count as one group
    expected = qini_auc_score(y[~train], score, w[~train])
    assert evaluation.figure("econml", "qini_auc").value == pytest.approx(expected, rel=1e-12)
    assert evaluation.figure("econml", "gain_over_random", "random").verdict == "better"


def test_the_true_effect_is_better_than_random_and_than_noise() -> None:
    evaluation = evaluated(budget=0.4)
    assert evaluation.figure("effect", "gain_over_random", "random").verdict == "better"
    assert evaluation.figure("effect", "gain_over_random", "noise").verdict == "better"
    assert evaluation.figure("noise", "gain_over_random", "effect").verdict == "worse"
    assert evaluation.figure("noise", "gain_over_random", "random").verdict == "inconclusive"
    assert abs(evaluation.figure("effect", "calibration_slope").value - 1) < 0.5
    shown = str(evaluation)
    assert shown.startswith("4,000 users, 40% treated; ± is one standard error")
    assert "over noise: better" in shown
    assert len(evaluation.rows()) == len(evaluation.figures) == 2 * 6 + 2
    assert [row["decile"] for row in evaluation.deciles] == 2 * [*range(1, 11)]
    assert evaluation.words == {}


def test_the_gate_has_a_word_on_each_ranking_where_there_is_a_response_model() -> None:
    users = simulated()
    evaluation = evaluated(mu0=users["mu0"], budget=0.4)
    words = {name: found.word for name, found in evaluation.words.items()}
    assert words == {"effect": "passed", "noise": "inconclusive"}
    assert "'effect' beats random targeting" in evaluation.words["effect"].reason
    assert "passed. Among these users, treating 40%" in str(evaluation)
    with pytest.raises(DataError, match="scores 'response': this name is that of mu0's ranking"):
        uplift.evaluate(users["y"], users["arm"], {"response": users["noise"]}, e=0.5)


def test_predicted_outcomes_narrow_the_error() -> None:
    users = simulated()
    mu1 = users["mu0"] + users["effect"]
    plain = evaluated().figure("effect", "policy_value")
    adjusted = evaluated(mu0=users["mu0"], mu1=mu1).figure("effect", "policy_value")
    assert adjusted.std_error < 0.98 * plain.std_error


def test_one_chance_for_all_is_that_chance() -> None:
    assert evaluated(e=0.5).rows() == evaluated_by_user().rows()


def evaluated_by_user() -> Evaluation:
    users = simulated()
    scores = {name: users[name] for name in ("effect", "noise")}
    return uplift.evaluate(users["y"], users["arm"], scores, e=np.full(N, 0.5))


def test_clusters_widen_the_error_of_outcomes_in_common() -> None:
    users = simulated()
    cluster = np.arange(N) // 20
    y = users["y"] + np.random.default_rng(1).normal(0, 1, N // 20)[cluster]
    arm = np.random.default_rng(2).integers(0, 2, N // 20)[cluster]
    plain = uplift.evaluate(y, arm, {"noise": users["noise"]}, e=0.5)
    by_cluster = uplift.evaluate(y, arm, {"noise": users["noise"]}, e=0.5, cluster=cluster)
    errors = [e.figure("noise", "policy_value").std_error for e in (plain, by_cluster)]
    assert errors[1] > 2 * errors[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": [0, 1, np.nan, 1]}, "y: row 2 is not finite"),
        ({"y": []}, "y: is empty"),
        ({"arm": [0, 1, 2, 0]}, "arm: 2 is no arm; give 1 under treatment and 0 under control"),
        ({"arm": [1, 1, 1, 1]}, "arm: all users are in one arm"),
        ({"arm": [0, 1]}, "arm: has another number of rows than y, which has 4"),
        ({"scores": {"a": ["high"] * 4}}, "scores 'a': must be numbers"),
        ({"scores": {}}, "scores must hold one ranking or more"),
        ({"e": 1.0}, "e: 1 to 1; every chance must be between 0 and 1"),
        ({"budget": 30}, "budget must be between 0 and 1"),
        ({"cluster": [1, 2]}, "cluster: has another number of rows than y"),
        ({"cluster": ["a", "", "b", "b"]}, "cluster: is empty for a user"),
        ({"mu0": [0.1]}, "mu0: has another number of rows than y"),
    ],
)
def test_a_wrong_column_is_named(changed: dict[str, object], message: str) -> None:
    good = {"y": [0, 1, 0, 1], "arm": [0, 1, 1, 0], "scores": {"a": [1, 2, 3, 4]}, "e": 0.5}
    with pytest.raises(DataError) as refused:
        uplift.evaluate(**(good | changed))
    assert message in str(refused.value)


def test_profit_is_the_worth_of_what_a_list_adds_less_its_cost() -> None:
    plain, priced = evaluated(), evaluated(cost=0.02, value=5.0)
    random = priced.figure("noise", "profit")
    gain = plain.figure("effect", "gain_over_random", "noise")
    profit = priced.figure("effect", "profit")
    assert profit.value - random.value == pytest.approx(5.0 * gain.value)
    free = evaluated(value=5.0).figure("effect", "profit")
    assert free.value - profit.value == pytest.approx(0.02 * 0.3)
    assert free.std_error == profit.std_error
    for wrong, message in (({"cost": 1.0}, "cost: says nothing"), ({"value": -1.0}, "value: -1.0 must")):
        with pytest.raises(DataError, match=message):
            evaluated(**wrong)
