"""Multi-arm figures and lists from Hillstrom's run, against a computation user by user."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from dagster_project import job_runs
from dagster_project.decisions.multi_arm_list import MULTI_ARM_LIST, write_multi_arm_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.multi_arm import (
    DECIDING,
    judge_choice,
    multi_arm_rows,
)
from dagster_project.training.arm_policies import calibrated, read_effect_maps
from dagster_project.training.registry import deciding_learner
from dagster_project.warehouse.connection import Warehouse
from tests.support import Open, dicts, folder_of, opened, run_job, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.evaluation.arm_gate import MULTI_ARM
from uplift_core.learner_names import LEARNER_NAMES
from uplift_core.targeting.arm_choice import arm_costs
from uplift_core.targeting.arm_path import find_path

HILLSTROM = folder_of("hillstrom")
TREATMENTS = HILLSTROM.declaration.treatments
LIST = "select * from decisions.multi_arm_list where experiment = 'hillstrom' order by user_id"


@pytest.fixture(scope="module")
def home(hillstrom_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("multi_arm"))
    shutil.copy(hillstrom_home / "warehouse.duckdb", home.warehouse)
    return home


@pytest.fixture
def finished(home: Home) -> Iterator[Warehouse]:
    """The warehouse of a finished run; what a test writes is not kept."""
    with opened(home) as db:
        yield db
        db.rows("rollback")
        db.rows("begin")


def with_costs(**costs: float) -> BatchExperiment:
    """Hillstrom with costs of its e-mails."""
    arms = [arm.model_copy(update={"cost": costs.get(arm.name, 0.0)}) for arm in _arms()]
    return with_experiment(HILLSTROM, arms=tuple(arms))


def _arms() -> tuple:
    return HILLSTROM.declaration.arms


def held_out_users(db: Warehouse, learner: str) -> tuple[np.ndarray, np.ndarray]:
    """Predicted effects and doubly robust scores for visits, both (n_users, 2)."""
    rows = db.arrow(
        f"select scores.arm, scores.cate_{learner} as effect, mu0_visit as mu0, mu1_visit as mu1, "
        "assignment.arm as given_arm, visit from scores.hillstrom as scores "
        "join assignment.hillstrom as assignment using (user_id) "
        "join training.hillstrom_user_cells using (user_id) "
        "join training.hillstrom_predictions as p using (cell) "
        "where assignment.split = 'holdout' and p.arm = scores.arm order by scores.arm, user_id"
    )
    columns = {name: rows.column(name).to_numpy(zero_copy_only=False) for name in rows.column_names}
    by_arm = {arm: {name: values[columns["arm"] == arm] for name, values in columns.items()}
              for arm in TREATMENTS}  # fmt: skip
    first = by_arm[TREATMENTS[0]]
    mu0 = np.mean([by_arm[arm]["mu0"].astype(float) for arm in TREATMENTS], axis=0)
    y, third = first["visit"].astype(float), 1 / 3
    control = mu0 + (first["given_arm"] == HILLSTROM.declaration.control) * (y - mu0) / third
    phi = []
    for arm in TREATMENTS:
        mu1 = by_arm[arm]["mu1"].astype(float)
        phi.append(mu1 + (first["given_arm"] == arm) * (y - mu1) / third - control)
    effect = np.column_stack([by_arm[arm]["effect"].astype(float) for arm in TREATMENTS])
    return effect, np.column_stack(phi)


def influences(path, budget: float, phi: np.ndarray) -> np.ndarray:
    """Return each user's term of the gain, (n_users,), with what the estimated cut takes from it."""
    shares = path.shares(budget)
    about_cut = path.shares(1.1 * budget) - path.shares(0.9 * budget)
    effect_at_cut = np.sum(about_cut * phi) / np.sum(about_cut)
    treated = shares.sum(axis=1)
    return np.sum(shares * phi, axis=1) - effect_at_cut * (treated - treated.mean())


def test_figures_are_those_of_the_users_one_by_one(finished: Warehouse) -> None:
    effect, phi = held_out_users(finished, "r")
    policies = {MULTI_ARM: effect} | {
        arm: np.where(np.arange(2) == k, effect, -1.0) for k, arm in enumerate(TREATMENTS)
    }
    paths = {name: find_path(effects, np.ones(2)) for name, effects in policies.items()}
    for budget in (0.1, 0.3, 0.5):
        shares = {name: path.shares(budget) for name, path in paths.items()}
        terms = {name: influences(path, budget, phi) for name, path in paths.items()}
        rows = dicts(
            finished,
            "from evaluation.multi_arm where experiment = 'hillstrom' and learner = 'r' "
            "and outcome = 'visit' and budget = $budget",
            {"budget": budget},
        )
        assert {row["policy"] for row in rows} == {MULTI_ARM, *TREATMENTS}
        gains = {name: float(np.sum(pi * phi)) / len(phi) for name, pi in shares.items()}
        best = max(TREATMENTS, key=lambda arm: gains[arm])
        for row in rows:
            term = terms[row["policy"]]
            other = best if row["policy"] == MULTI_ARM else row["policy"]
            gap = terms[MULTI_ARM] - terms[other]
            assert row["gain"] == pytest.approx(term.mean(), abs=1e-9)
            assert row["std_error"] == pytest.approx(term.std() / np.sqrt(len(term)), rel=1e-6)
            assert row["difference"] == pytest.approx(gap.mean(), abs=1e-9)
            expected = gap.std() / np.sqrt(len(term))
            assert row["difference_std_error"] == pytest.approx(expected, rel=1e-6)
            assert (row["best_single"], row["n"]) == (best, len(phi))
            assert row["spend"] == pytest.approx(row["treated"])
            assert row["treated"] == pytest.approx(sum(json.loads(row["arm_shares"]).values()))


def test_where_users_are_in_clusters_their_terms_are_added_up(finished: Warehouse) -> None:
    finished.rows("alter table assignment.hillstrom add column cluster varchar")
    finished.rows("update assignment.hillstrom set cluster = 'street ' || user_id % 500")
    choice = judge_choice(finished, with_experiment(HILLSTROM, cluster="street"), 0.3)
    deciding = [deciding_learner(finished, HILLSTROM, arm) for arm in TREATMENTS]
    columns = [held_out_users(finished, name)[0][:, k] for k, name in enumerate(deciding)]
    effect = calibrated(finished, HILLSTROM, np.column_stack(columns))
    _, phi = held_out_users(finished, deciding[0])
    alone = np.where(np.arange(2) == TREATMENTS.index(choice.best_single), effect, -1.0)
    terms = [influences(find_path(effects, np.ones(2)), 0.3, phi) for effects in (effect, alone)]
    gap = terms[0] - terms[1]
    street = np.array(
        finished.rows(
            "select user_id % 500 from assignment.hillstrom where split = 'holdout' order by user_id"
        )
    ).ravel()
    sums = np.bincount(street, gap - gap.mean())
    assert choice.difference.value == pytest.approx(gap.mean(), abs=1e-9)
    expected = np.sqrt(500 / 499 * (sums @ sums)) / len(gap)
    assert choice.difference.std_error == pytest.approx(expected, rel=1e-6)


def test_a_budget_is_a_share_of_the_dearest_arms_cost(finished: Warehouse) -> None:
    folder = with_costs(mens=0.5, womens=2.0)
    rows = [r for r in multi_arm_rows(finished, folder) if r["learner"] == DECIDING]
    assert {row["budget"] for row in rows} >= {0.1, 0.3, 0.5}
    for row in rows:
        shares = json.loads(row["arm_shares"])
        assert row["spend"] == pytest.approx(0.5 * shares["mens"] + 2.0 * shares["womens"])
        assert row["spend"] <= 2.0 * row["budget"] + 1e-12
    assert arm_costs(HILLSTROM.declaration).tolist() == [1.0, 1.0]


def test_the_list_gives_each_user_their_best_arm_within_the_budget(finished: Warehouse) -> None:
    rows = dicts(finished, LIST)
    assert len(rows) == 64_000
    treated = [row for row in rows if row["arm"]]
    assert len(treated) == 0.3 * 64_000
    assert {row["decision"] for row in treated} == {"treat"}
    assert {row["decision"] for row in rows} == {"treat", "no_treat", "holdout"}
    cases = " ".join(f"when '{name}' then cate_{name}" for name in LEARNER_NAMES)
    maps = read_effect_maps(finished, HILLSTROM)
    effects = [
        f"({maps[arm].level} + {maps[arm].slope} * max(score) filter (arm = '{arm}'))::float"
        for arm in TREATMENTS
    ]
    beyond = finished.one(
        "select max(s.effect) from decisions.multi_arm_list as l join "
        f"(select user_id, greatest({', '.join(effects)}) as effect from ("
        f"select user_id, s.arm, case r.learner {cases} end as score "
        "from scores.hillstrom as s join models.registry as r on r.arm = s.arm "
        "where r.is_current and r.champion and r.experiment = 'hillstrom') group by user_id) as s "
        "using (user_id) where l.experiment = 'hillstrom' and l.decision = 'no_treat'"
    )[0]
    assert min(row["effect"] for row in treated) >= beyond


def test_with_costs_the_list_does_as_much_as_the_money_can(finished: Warehouse) -> None:
    folder, money = with_costs(mens=0.5, womens=0.6), 31_000.0
    treated = write_multi_arm_list(finished, folder, decision_date="2026-03-01", money=money).treated
    rows = dicts(finished, LIST)
    costs = {"mens": 0.5, "womens": 0.6, None: 0.0}
    assert all(row["cost"] == costs[row["arm"]] for row in rows)
    spent = sum(row["cost"] for row in rows)
    assert {round(row["spent"], 6) for row in rows} == {round(spent, 6)}
    assert treated == sum(row["arm"] is not None for row in rows)
    offered = finished.arrow(
        "select effect_0, effect_1 from user_effects join roles using (user_id) "
        "where role in ('ranked', 'explore')"
    )
    scores = np.column_stack([column.to_numpy() for column in offered.columns])
    effects = calibrated(finished, HILLSTROM, scores)
    path = find_path(effects, [costs[arm] for arm in TREATMENTS])
    most = float(np.sum(path.shares(money / len(effects)) * effects))
    done = sum(row["effect"] for row in rows)
    assert most - effects.max() < done <= most + 1e-6  # all but the move that no longer fits
    assert money - 0.6 < spent <= money
    assert {row["arm"] for row in rows} == {"mens", "womens", None}


def test_a_list_is_the_same_again_and_with_much_money_all_who_gain_get_an_arm(
    finished: Warehouse,
) -> None:
    def write(money: float) -> list[dict]:
        folder = with_costs(mens=0.5, womens=2.0)
        write_multi_arm_list(finished, folder, decision_date="2026-03-01", money=money)
        return dicts(finished, LIST)

    assert write(9_000.0) == write(9_000.0)
    assert {row["reason"] for row in write(1e9) if not row["arm"]} <= {"holdout", "no_arm_helps"}
    assert sum(row["arm"] is not None for row in write(0.0)) == 0


def test_whole_clusters_get_the_arm_with_their_best_mean_effect(finished: Warehouse) -> None:
    folder = with_costs(mens=0.5, womens=0.6)
    declaration = folder.declaration.model_copy(update={"cluster": "home"})
    finished.rows("alter table raw.hillstrom add column home bigint")
    finished.rows("update raw.hillstrom set home = user_id * 7919 % 20011")
    finished.rows("alter table assignment.hillstrom add column cluster varchar")
    finished.rows("update assignment.hillstrom set cluster = user_id * 7919 % 20011")
    finished.rows("delete from models.arm_calibration")  # a run with clusters writes none
    money = 20_000.0
    write_multi_arm_list(
        finished, replace(folder, declaration=declaration), decision_date="2026-03-01", money=money
    )
    listed = "from decisions.multi_arm_list as list join raw.hillstrom using (user_id) "
    hillstrom = "where list.experiment = 'hillstrom'"
    one_arm, spent, homes, arms = finished.one(
        "select max(arms), sum(cost), count(*), count(distinct arm) from ("
        "select home, count(distinct coalesce(arm, 'nobody')) as arms, any_value(arm) as arm, "
        f"sum(list.cost) as cost {listed} {hillstrom} group by home)"
    )
    assert (one_arm, homes, arms) == (1, 20_011, 2)
    assert money - 0.6 * 5 < spent <= money
    for arm in TREATMENTS:
        score = f"cate_{deciding_learner(finished, HILLSTROM, arm)}"
        given, wrong = finished.one(
            f"select count(*), count(*) filter (abs(mean - effect) > 1e-9) from ("
            f"select avg(s.{score}::double) as mean, any_value(effect) as effect {listed} "
            f"join scores.hillstrom as s using (user_id) {hillstrom} "
            "and s.arm = $arm and list.arm = $arm group by home)",
            {"arm": arm},
        )
        assert given
        assert not wrong


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budget": 0.1, "money": 5.0}, "a share or money"),
        ({"budget": 1.5}, "share from 0 to 1"),
        ({"money": -1.0}, "0 or more"),
    ],
)
def test_a_budget_that_cannot_be_meant_is_refused(
    finished: Warehouse, options: dict[str, float], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        write_multi_arm_list(finished, HILLSTROM, decision_date="2026-03-01", **options)


def make_worse(db: Warehouse) -> None:
    """Let the models take the women's e-mail for the best, above all for whom it does least."""
    learners = ", ".join(f"cate_{name} = 10 - cate_{name}" for name in LEARNER_NAMES)
    db.rows(f"update training.hillstrom_predictions set {learners} where arm = 'womens'")


@pytest.mark.parametrize("budget", [{}, {"budget": 0.55}, {"money": 30_000.0}])
def test_a_proposal_that_does_worse_than_one_arm_alone_is_not_written(
    finished: Warehouse, budget: dict[str, float]
) -> None:
    """At any budget, also at those that the table does not have; an earlier one goes."""
    assert finished.count(MULTI_ARM_LIST) == 64_000
    make_worse(finished)
    proposal = write_multi_arm_list(finished, HILLSTROM, decision_date="2026-03-01", **budget)
    choice = proposal.choice
    assert (proposal.refused, proposal.treated) == (True, 0)
    assert finished.count(MULTI_ARM_LIST) == 0
    assert choice.difference.value + 1.96 * choice.difference.std_error < 0
    figures = f"{choice.difference.value:+.4f} ± {choice.difference.std_error:.4f} visit"
    for words in ("worse than 'mens' alone", figures, "No proposal is written", "arm = 'mens'"):
        assert words in proposal.summary


def test_the_verdict_is_that_of_the_table(finished: Warehouse) -> None:
    rows = dicts(
        finished,
        "from evaluation.multi_arm "
        "where learner = 'deciding' and policy = 'multi_arm' and outcome = 'visit'",
    )
    for row in rows:
        choice = judge_choice(finished, HILLSTROM, row["budget"])
        assert (choice.best_single, choice.verdict) == (row["best_single"], row["verdict"])
        assert choice.difference.value == pytest.approx(row["difference"], abs=1e-12)
        assert choice.difference.std_error == pytest.approx(row["difference_std_error"], abs=1e-12)
    assert len(rows) > 10


def test_a_run_tells_of_a_refused_proposal_and_goes_on(
    hillstrom_home: Path, tmp_path: Path, snapshot: Open
) -> None:
    shutil.copytree(hillstrom_home, tmp_path / "home")
    with opened(Home(tmp_path / "home")) as db:
        make_worse(db)
    result = run_job(HILLSTROM, tmp_path / "home", only=["multi_arm_list", "treat_list", "published"])
    assert result.success
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "worth"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "worse than 'mens' alone" in check.description
    assert [text for name, text in job_runs._warnings(result) if "multi_arm_list" in name] == [
        check.description
    ]
    con = snapshot(tmp_path / "home")
    assert con.execute("select count(*) from decisions.multi_arm_list").fetchall() == [(0,)]
    assert con.execute("select count(*) from decisions.treat_list").fetchall() == [(64_000,)]
    told = "select message from quality.results where check_name = 'worth' and not passed"
    assert con.execute(told).fetchall() == [(check.description,)]


def test_what_is_inconclusive_is_told_beside_the_proposal(hillstrom_home: Path, snapshot: Open) -> None:
    con = snapshot(hillstrom_home)
    ((word,),) = con.execute(
        "select verdict from evaluation.multi_arm where learner = 'deciding' and outcome = 'visit' "
        "and policy = 'multi_arm' and budget = 0.3"
    ).fetchall()
    ((message, passed),) = con.execute(
        "select message, passed from quality.results where check_name = 'worth'"
    ).fetchall()
    assert passed == (word == "better")
    assert ("is not shown to differ from" in message) == (word == "inconclusive")
    assert con.execute("select count(*) from decisions.multi_arm_list").fetchall() == [(64_000,)]
