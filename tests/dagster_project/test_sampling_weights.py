"""A run of a sample with weights: figures and errors are those of the population, by rows in numpy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import numpy as np
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.crosscheck import comparable
from dagster_project.evaluation.placebo import placebo_rows
from dagster_project.inputs.weights import refuse_odd_weights
from dagster_project.scores.score_groups import read_holdout
from dagster_project.training.cells import read_cells, read_edges
from dagster_project.warehouse.connection import Warehouse
from tests.support import (
    EXPERIMENTS,
    dicts,
    evaluated,
    few_rounds,
    folder_of,
    make_table,
    memory_warehouse,
    with_experiment,
)
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.evaluation.complier import ComplierEffect
from uplift_core.evaluation.rate import autoc

USERS, BUDGET = 2_500, 0.3
# Old users are sampled rarely, and some stand for nobody.
WEIGHTED = """treated::integer as treated,
    case when x1 > 0.5 then 4.0 when x1 < -1.5 then 0.0 else 0.5 end as sampling_weight,
    (treated and x2 > 0)::integer as opened,
    row_number() over () // 2 as household,"""


@pytest.fixture(scope="module", params=["users", "clusters"])
def experiment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> BatchExperiment:
    folder = tmp_path_factory.mktemp("experiment") / "simulated"
    shutil.copytree(EXPERIMENTS / "simulated", folder)
    raw = (folder / "raw.sql").read_text(encoding="utf-8")
    (folder / "raw.sql").write_text(raw.replace("treated::integer as treated,", WEIGHTED))
    declared = with_experiment(
        few_rounds(folder_of("simulated", n_users=USERS)),
        weight="sampling_weight",
        exposure="opened",
        cluster="household" if request.param == "clusters" else "",
    )
    return BatchExperiment.read(declared.declaration, folder)


@pytest.fixture(scope="module")
def db(experiment: BatchExperiment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    yield from evaluated(experiment, Home(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def users(db: Warehouse, experiment: BatchExperiment) -> dict[str, np.ndarray]:
    """Held-out users who stand for somebody, one row each."""
    unit = "a.cluster::bigint" if experiment.declaration.cluster else "a.user_id"
    rows = db.arrow(
        "select (a.arm = 'treated')::double as w, a.converted::double as y, a.weight as s, "
        "p.mu0_converted::double as mu0, p.mu1_converted::double as mu1, p.cate_r::double as score, "
        f"a.exposure as d, {unit} as unit "
        "from assignment.simulated as a inner join training.simulated_user_cells using (user_id) "
        "inner join training.simulated_predictions as p using (cell) "
        "where a.split = 'holdout' and a.weight > 0"
    )
    return {name: rows.column(name).to_numpy() for name in rows.column_names}


def phis(users: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    w, y, mu0, mu1 = (users[name] for name in ("w", "y", "mu0", "mu1"))
    phi0 = mu0 + 2 * (1 - w) * (y - mu0)
    return mu1 + 2 * w * (y - mu1) - phi0, phi0


def error(influence: np.ndarray, users: dict[str, np.ndarray]) -> float:
    """By unit, each user's influence times the weight."""
    _, number = np.unique(users["unit"], return_inverse=True)
    sums = np.bincount(number, users["s"] * influence)
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums @ sums)) / users["s"].sum())


def test_weights_have_mean_1_and_cells_carry_them(db: Warehouse, experiment: BatchExperiment) -> None:
    mean, off = db.one(
        "select avg(a.weight), max(abs(a.weight - r.sampling_weight / m.mean)) "
        "from assignment.simulated as a inner join raw.simulated as r using (user_id), "
        "(select avg(sampling_weight) as mean from raw.simulated) as m"
    )
    assert mean == pytest.approx(1)
    assert off == pytest.approx(0, abs=1e-9)
    n, weight, events = db.one(
        "select sum(n), sum(weight), sum(converted_sum) from training.simulated_cells"
    )
    assert (n, weight) == (USERS, pytest.approx(USERS))
    (expected,) = db.one("select sum(weight * converted) from assignment.simulated")
    assert events == pytest.approx(expected)
    cells = read_cells(db, experiment, "treated", read_edges(db, experiment))
    (train,) = db.one("select sum(weight) from assignment.simulated where split = 'train'")
    assert cells.n.sum() == pytest.approx(train)
    assert cells.n.min() > 0


def test_effect_value_and_gain_are_those_of_the_population(
    db: Warehouse, users: dict[str, np.ndarray]
) -> None:
    s, score = users["s"], users["score"]
    phi, phi0 = phis(users)
    total = s.sum()
    before = (s[None, :] * (score[None, :] > score[:, None])).sum(axis=1)
    tied = (s[None, :] * (score[None, :] == score[:, None])).sum(axis=1)
    pi = np.clip((BUDGET * total - before) / tied, 0, 1)
    ate = (s @ phi) / total
    stored = db.one(
        "select value, std_error, n from evaluation.metrics where metric = 'ate' and learner = 'r'"
    )
    assert stored[:2] == pytest.approx((ate, error(phi - ate, users)), rel=1e-9)
    assert stored[2] == int(total)
    incremental = (s @ (pi * phi)) / total
    gain = (s @ ((pi - BUDGET) * phi)) / total
    found = db.one(
        "select value, gain_over_random, incremental, incremental_std_error, clusters is null "
        f"from evaluation.policy_value where learner = 'r' and estimator = 'aipw' and budget = {BUDGET}"
    )
    value = (s @ (phi0 + pi * phi)) / total
    assert found[:3] == pytest.approx((value, gain, incremental), rel=1e-9)
    assert found[3] == pytest.approx(error(pi * phi - incremental, users), rel=1e-9)
    assert found[4] == (len(np.unique(users["unit"])) == len(s))


def test_average_and_complier_effects_are_weighted(db: Warehouse, users: dict[str, np.ndarray]) -> None:
    s, w, y, d = (users[name] for name in ("s", "w", "y", "d"))

    def scores(outcome: np.ndarray) -> np.ndarray:
        """Each user's part of the weighted difference in means, whose mean is the difference."""
        means = [np.average(outcome[w == arm], weights=s[w == arm]) for arm in (0, 1)]
        share = [s[w == arm].sum() / len(s) for arm in (0, 1)]
        sides = np.where(w == 1, (outcome - means[1]) / share[1], -(outcome - means[0]) / share[0])
        return means[1] - means[0] + s * sides

    expected = ComplierEffect.of(scores(y), scores(d), users["unit"])
    assert expected.estimate is not None
    row = next(
        row
        for row in dicts(db, "from evaluation.complier_effects")
        if (row["split"], row["estimator"]) == ("holdout", "means")
    )
    # Users of weight 0 are units, too, in these sums.
    assert (row["itt"], row["effect"]) == pytest.approx(
        (expected.outcome_effect, expected.estimate.value), rel=1e-9
    )
    assert (row["itt_std_error"], row["std_error"]) == pytest.approx(
        (expected.on_outcome.std_error, expected.estimate.std_error), rel=1e-3
    )
    stored = db.one("select effect, std_error from evaluation.average_effects where split = 'holdout'")
    assert stored == pytest.approx((row["itt"], row["itt_std_error"]), rel=1e-9)
    aipw = next(r for r in dicts(db, "from evaluation.complier_effects") if r["estimator"] == "aipw")
    ate = db.one("select value, std_error from evaluation.metrics where metric = 'ate' limit 1")
    assert aipw["itt"] == pytest.approx(ate[0], rel=1e-9)
    assert aipw["itt_std_error"] == pytest.approx(ate[1], rel=1e-3)


def test_ranks_count_the_population(db: Warehouse, experiment: BatchExperiment) -> None:
    groups, _ = read_holdout(db, experiment, "treated", "converted").by("r")
    (value,) = db.one("select value from evaluation.metrics where metric = 'autoc' and learner = 'r'")
    assert value == pytest.approx(autoc(groups).value)
    q = np.cumsum(groups.n) / groups.n.sum()
    toc = np.cumsum(groups.phi) / np.cumsum(groups.n) - groups.phi.sum() / groups.n.sum()
    assert value == pytest.approx(np.trapezoid(toc, q), abs=0.02)


def test_segments_and_deciles_have_errors(db: Warehouse) -> None:
    for table in ("segments", "deciles", "bands", "calibration", "comparisons", "qini_curve"):
        rows = dicts(db, f"from evaluation.{table}")
        assert rows, table
        assert any((row["std_error"] or 0) > 0 for row in rows), table


def test_the_card_tells_of_weights(db: Warehouse) -> None:
    ((card,),) = db.rows("select card from models.cards")
    assert "Users weigh as 'sampling_weight' says" in card


def test_what_does_not_know_weights_is_refused(db: Warehouse, experiment: BatchExperiment) -> None:
    assert not comparable(experiment.declaration)
    with pytest.raises(DataError, match="leave placebo_runs at 0"):
        placebo_rows(db, experiment, 5, 1)


def test_odd_weights_are_refused() -> None:
    experiment = with_experiment(folder_of("simulated"), weight="s")
    for value, told in (
        ("-1", r"2 rows, the first of them user_id 8 \(-1\)"),
        ("inf", r"user_id 8 \(inf\)"),
        (None, r"user_id 8 \(no value\)"),
    ):
        db = memory_warehouse()
        rows = [(7, "1", 1), (8, value, 1), (9, value, 0)]
        make_table(db, "raw.simulated", "user_id bigint, s varchar, treated integer", rows)
        with pytest.raises(DataError, match=told):
            refuse_odd_weights(db, experiment)
        db.con.close()
    db = memory_warehouse()
    rows = [(7, 1.0, 1), (8, 0.0, 0)]
    make_table(db, "raw.simulated", "user_id bigint, s double, treated integer", rows)
    with pytest.raises(DataError, match="is 0 for all users of treated '0'"):
        refuse_odd_weights(db, experiment)
    db.con.close()
