"""Assigned and reached are two things: an experiment in which 60 % of the treated open the e-mail."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.complier_effects import complier_effect_rows
from dagster_project.inputs.assignment import assignment_query
from dagster_project.inputs.exposure import refuse_odd_exposures
from dagster_project.warehouse.connection import Warehouse
from tests.serve.support import api_of
from tests.support import (
    EXPERIMENTS,
    TO_PUBLISHED,
    dicts,
    few_rounds,
    folder_of,
    make_table,
    memory_warehouse,
    opened,
    run_unchecked,
    with_experiment,
)
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.evaluation.complier import ComplierEffect
from uplift_core.experiment.decision_rules import Decisions

USERS, COST, VALUE = 2_500, 0.4, 10.0
OPENED = """treated::integer as treated,
    (treated and md5_number_lower('o' || row_number() over ()) / 18446744073709551616.0 < 0.6)::integer
        as opened,
    row_number() over () // 2 as household,"""


def declared(home: Path) -> BatchExperiment:
    """The simulated experiment with an exposure, whose arm costs money when somebody is reached."""
    folder = home / "simulated"
    shutil.copytree(EXPERIMENTS / "simulated", folder)
    raw = (folder / "raw.sql").read_text(encoding="utf-8")
    (folder / "raw.sql").write_text(raw.replace("treated::integer as treated,", OPENED))
    plain = few_rounds(folder_of("simulated", n_users=USERS))
    declaration = plain.declaration
    priced = with_experiment(
        plain,
        exposure="opened",
        decisions=Decisions(cost_per="exposed"),
        arms=tuple(
            arm.model_copy(update={"cost": COST if arm.name == "treated" else 0.0})
            for arm in declaration.arms
        ),
        outcomes=tuple(o.model_copy(update={"value": VALUE}) for o in declaration.outcomes),
    )
    return BatchExperiment.read(priced.declaration, folder)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> BatchExperiment:
    return declared(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def home(experiment: BatchExperiment, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    run_unchecked(experiment, home.root, TO_PUBLISHED)
    return home


@pytest.fixture(scope="module")
def db(home: Home) -> Iterator[Warehouse]:
    with opened(home) as db:
        yield db


def rows_of(db: Warehouse, split: str = "") -> dict[str, np.ndarray]:
    where = f"where a.split = '{split}'" if split else ""
    rows = db.arrow(
        "select (a.arm = 'treated')::double as w, a.converted::double as y, a.exposure as d, "
        "p.mu0_converted::double as mu0, p.mu1_converted::double as mu1 "
        "from assignment.simulated as a inner join training.simulated_user_cells using (user_id) "
        f"inner join training.simulated_predictions as p using (cell) {where}"
    )
    return {name: rows.column(name).to_numpy() for name in rows.column_names}


def difference_scores(w: np.ndarray, y: np.ndarray) -> np.ndarray:
    one, none = y[w == 1].mean(), y[w == 0].mean()
    return one - none + np.where(w == 1, (y - one) / w.mean(), -(y - none) / (1 - w.mean()))


def same(row: dict[str, object], expected: ComplierEffect) -> None:
    effect = expected.estimate
    assert effect is not None
    names = ("itt", "itt_std_error", "first_stage", "first_stage_std_error", "effect", "std_error")
    found = [row[name] for name in names]
    assert found == pytest.approx(
        [
            *(expected.outcome_effect, expected.on_outcome.std_error),
            *(expected.exposure_effect, expected.on_exposure.std_error),
            *(effect.value, effect.std_error),
        ],
        rel=1e-9,
    )
    assert row["verdict"] == "estimated"
    assert row["first_stage_f"] == pytest.approx(expected.f)


def test_stored_effects_equal_numpy_by_rows(db: Warehouse) -> None:
    found = {(r["split"], r["estimator"]): r for r in dicts(db, "from evaluation.complier_effects")}
    assert len(found) == 4
    for split in ("all", "train", "holdout"):
        users = rows_of(db, "" if split == "all" else split)
        w, y, d = (users[name] for name in "wyd")
        row = found[split, "means"]
        same(row, ComplierEffect.of(difference_scores(w, y), difference_scores(w, d)))
        assert row["n"] == len(w)
        reached = d[w == 1]
        error = reached.std() / np.sqrt(len(reached))
        assert row["reached_treated"] == pytest.approx(reached.mean())
        assert row["reached_treated_std_error"] == pytest.approx(error)
        assert row["reached_control"] == 0
        stored = db.one(
            f"select effect, std_error from evaluation.average_effects where split = '{split}'"
        )
        assert (row["itt"], row["itt_std_error"]) == pytest.approx(stored)
    train, held_out = rows_of(db, "train"), rows_of(db, "holdout")
    w, y, d, mu0, mu1 = held_out.values()
    nu = train["d"][train["w"] == 1].mean()
    phi = mu1 - mu0 + 2 * w * (y - mu1) - 2 * (1 - w) * (y - mu0)
    same(found["holdout", "aipw"], ComplierEffect.of(phi, nu + 2 * w * (d - nu)))
    stored = db.one("select value, std_error from evaluation.metrics where metric = 'ate' limit 1")
    row = found["holdout", "aipw"]
    assert (row["itt"], row["itt_std_error"]) == pytest.approx(stored, rel=1e-6)


def test_the_list_tells_its_reach_and_prices_users_by_it(db: Warehouse) -> None:
    (night,) = dicts(db, "from decisions.nights")
    (reach,) = db.one(
        "select reached_treated from evaluation.complier_effects "
        "where split = 'holdout' and estimator = 'means'"
    )
    assert 0.5 < reach < 0.7
    assert night["spent"] == pytest.approx(night["treated"] * COST * reach)
    listed = db.arrow(
        "with shares as (select score, count(*) filter (decision = 'treat') / count(*) as share "
        "from decisions.treat_list group by score) "
        "select exposure, share from assignment.simulated as a "
        "inner join scores.simulated as s using (user_id) "
        f"inner join shares on shares.score = s.cate_{night['learner']}::float "
        "where a.split = 'holdout' and a.arm = 'treated'"
    )
    d, share = (listed.column(name).to_numpy() for name in ("exposure", "share"))
    mean = (share @ d) / share.sum()
    error = np.sqrt(((share * (d - mean)) ** 2).sum()) / share.sum()
    assert (night["reach"], night["reach_std_error"]) == pytest.approx((mean, error), rel=1e-9)
    net, incremental, budget = db.one(
        "select net_value, incremental, budget from evaluation.policy_value "
        "where estimator = 'aipw' and budget = 0.3 and learner = 'r'"
    )
    assert net == pytest.approx(VALUE * incremental - COST * reach * budget)


def test_the_service_and_the_card_tell_it(db: Warehouse, home: Home) -> None:
    (reach,) = db.one(
        "select reached_treated from evaluation.complier_effects "
        "where split = 'holdout' and estimator = 'means'"
    )
    with api_of(home.root) as client:
        costs = client.get("/models").json()[0]["costs"]
        assert costs["treated"] == pytest.approx(COST * reach)
        assert client.get("/policy").json()["cost"] == pytest.approx(COST * reach)
        shown = client.get("/evidence").json()["complier_effects"]
    assert [row["verdict"] for row in shown] == ["estimated"] * 4
    ((card,),) = db.rows("select card from models.cards")
    everybody = "where split = 'all' and estimator = 'means'"
    (reached,) = db.one(f"select reached_treated from evaluation.complier_effects {everybody}")
    assert f"The treatment reached {reached:.5f} ± " in card
    assert "of users whom the assignment reaches, is +" in card


@pytest.fixture
def small() -> Iterator[Warehouse]:
    db = memory_warehouse()
    yield db
    db.con.close()


def draw(db: Warehouse, *, reach: float) -> dict[str, np.ndarray]:
    """Users in households, with a chance of each user's own."""
    rng = np.random.default_rng(1)
    n = 2_000
    e = rng.choice([0.2, 0.5, 0.7], n)
    w = (rng.random(n) < e).astype(float)
    d = w * (rng.random(n) < reach)
    y = np.round(rng.normal(size=n) + 3 * e + d, 6)
    home = rng.integers(0, 300, n)
    split = np.where(home % 3 == 0, "holdout", "train")
    rows = [
        (i, "treated" if w[i] else "control", str(split[i]), 0, f"h{home[i]}", e[i], d[i], y[i])
        for i in range(n)
    ]
    make_table(
        db,
        "assignment.simulated",
        "user_id bigint, arm varchar, split varchar, fold tinyint, cluster varchar, "
        "propensity double, exposure double, converted double",
        rows,
    )
    small_cells = "cell bigint, arm varchar, mu0_converted float, mu1_converted float"
    make_table(db, "training.simulated_predictions", small_cells, [(0, "treated", 0.1, 0.2)])
    db.rows(
        "create table training.simulated_user_cells as select user_id, 0 as cell "
        "from assignment.simulated"
    )
    return {"w": w, "d": d, "y": y, "e": e, "home": home}


def test_chances_and_clusters_enter_as_declared(small: Warehouse, experiment: BatchExperiment) -> None:
    users = draw(small, reach=0.6)
    w, d, y, e, home = users.values()
    by_user = with_experiment(experiment, propensity_column="p", cluster="household")
    row = next(row for row in complier_effect_rows(small, by_user) if row["split"] == "all")
    weight = w / e + (1 - w) / (1 - e)

    def scores(outcome: np.ndarray) -> np.ndarray:
        means = [np.average(outcome[w == arm], weights=weight[w == arm]) for arm in (0, 1)]
        share = [weight[w == arm].sum() / len(w) for arm in (0, 1)]
        treated, control = (outcome - means[1]) / share[1], -(outcome - means[0]) / share[0]
        return means[1] - means[0] + weight * np.where(w == 1, treated, control)

    same(row, ComplierEffect.of(scores(y), scores(d), home))
    assert row["clusters"] == len(np.unique(home))


def test_a_weak_first_stage_is_told_without_a_number(
    small: Warehouse, experiment: BatchExperiment
) -> None:
    draw(small, reach=0.001)
    row = next(row for row in complier_effect_rows(small, experiment) if row["split"] == "all")
    assert row["first_stage_f"] < 10
    assert row["verdict"] == "weak"
    assert {row[name] for name in ("effect", "std_error", "ci_low", "ci_high")} == {None}
    assert complier_effect_rows(small, with_experiment(experiment, exposure="")) == []


def test_odd_exposures_are_refused(small: Warehouse, experiment: BatchExperiment) -> None:
    make_table(small, "raw.simulated", "user_id bigint, opened integer", [(7, 0), (8, None), (9, 2)])
    with pytest.raises(DataError, match=r"neither in 2 rows, .* user_id 8 \(no value\).*coalesce"):
        refuse_odd_exposures(small, experiment)


def test_without_an_exposure_the_assignment_is_as_it_was(simulated: BatchExperiment) -> None:
    sql, _ = assignment_query(simulated)
    assert "exposure" not in sql
    with_one = replace(
        simulated, declaration=simulated.declaration.model_copy(update={"exposure": "opened"})
    )
    assert '"opened"::double as exposure' in assignment_query(with_one)[0]
