"""A run of an experiment whose chances differ between users: figures equal plain numpy by rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.placebo import read_train_users
from dagster_project.warehouse.connection import Warehouse
from tests.dagster_project.chances import BY_REGION, BY_USER, COLUMN, REGIONS, STRATA, USERS, drawn_anew
from tests.support import evaluated
from uplift_core.artifacts.home import Home

BUDGET = 0.3


@pytest.fixture(scope="module", params=["strata", "column", "clusters"])
def experiment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> BatchExperiment:
    """Strata with declared shares, a chance of each user's own, and both ways with users as clusters."""
    folder = tmp_path_factory.mktemp("experiment")
    if request.param == "strata":
        return drawn_anew(folder, BY_REGION, **STRATA)
    return drawn_anew(
        folder, BY_USER, **COLUMN, cluster="household" if request.param == "clusters" else ""
    )


@pytest.fixture(scope="module")
def db(experiment: BatchExperiment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    yield from evaluated(experiment, Home(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def held_out(db: Warehouse) -> dict[str, np.ndarray]:
    """Held-out users, one row each: arm, outcome, chance, predictions and the R-learner's score."""
    rows = db.arrow(
        "select (a.arm = 'treated')::double as w, a.converted::double as y, a.propensity as e, "
        "p.response::double as mu0, p.mu1_converted::double as mu1, p.cate_r::double as score "
        "from assignment.simulated as a inner join training.simulated_user_cells using (user_id) "
        "inner join training.simulated_predictions as p using (cell) where a.split = 'holdout'"
    )
    return {name: rows.column(name).to_numpy() for name in rows.column_names}


def stored(db: Warehouse, sql: str) -> tuple[float, ...]:
    return db.one(f"select {sql}")


def test_chances_are_those_of_the_design(db: Warehouse, experiment: BatchExperiment) -> None:
    (n, off) = db.one(
        "select count(*), max(abs(a.propensity - r.p)) from assignment.simulated as a "
        "inner join raw.simulated as r using (user_id)"
    )
    assert (n, off) == (USERS, 0)
    users, sums = db.one("select sum(n), sum(n * propensity) from training.simulated_cells")
    assert users == USERS
    (expected,) = db.one("select sum(propensity) from assignment.simulated")
    assert sums == pytest.approx(expected)
    if experiment.declaration.strata:
        found = {e for (e,) in db.rows("select distinct propensity from training.simulated_cells")}
        assert found == set(REGIONS.values())


def test_effect_value_and_gain_equal_numpy_by_rows(
    db: Warehouse, held_out: dict[str, np.ndarray]
) -> None:
    w, y, e, mu0, mu1, score = held_out.values()
    n = len(w)
    phi0 = mu0 + (1 - w) * (y - mu0) / (1 - e)
    phi = mu1 + w * (y - mu1) / e - phi0
    above = (score[None, :] > score[:, None]).sum(axis=1)
    tied = (score[None, :] == score[:, None]).sum(axis=1)
    pi = np.clip((BUDGET * n - above) / tied, 0, 1)
    metric = "value, std_error from evaluation.metrics where learner = 'r' and metric ="
    clustered = db.one("select max(clusters) is not null from evaluation.metrics")[0]
    factor = np.sqrt(n / (n - 1)) if clustered else 1.0
    ate, error = stored(db, f"{metric} 'ate'")
    assert ate == pytest.approx(phi.mean(), abs=1e-9)
    assert error == pytest.approx(factor * phi.std() / np.sqrt(n), abs=1e-9)
    of_user = w * y / e - (1 - w) * y / (1 - e)
    ate, error = stored(db, f"{metric} 'ate_ipw'")
    assert ate == pytest.approx(of_user.mean(), abs=1e-9)
    assert error == pytest.approx(factor * of_user.std() / np.sqrt(n), abs=1e-9)
    at = f"where learner = 'r' and budget = {BUDGET} and estimator ="
    value, gain = stored(db, f"value, gain_over_random from evaluation.policy_value {at} 'aipw'")
    assert value == pytest.approx((phi0 + pi * phi).mean(), abs=1e-9)
    assert gain == pytest.approx(((pi - BUDGET) * phi).mean(), abs=1e-9)
    (value,) = stored(db, f"value from evaluation.policy_value {at} 'ipw'")
    by_user = pi * w * y / e + (1 - pi) * (1 - w) * y / (1 - e)
    assert value == pytest.approx(by_user.mean(), abs=1e-9)


def test_average_effects_are_weighted_differences(
    db: Warehouse, held_out: dict[str, np.ndarray]
) -> None:
    w, y, e, *_ = held_out.values()
    weight = np.where(w == 1, 1 / e, 1 / (1 - e))
    effect, squares = 0.0, 0.0
    for arm, sign in ((1, 1), (0, -1)):
        some = w == arm
        mean = np.average(y[some], weights=weight[some])
        effect += sign * mean
        squares += np.square(weight[some] * (y[some] - mean) / weight[some].sum()).sum()
    row = stored(db, "effect, std_error, n from evaluation.average_effects where split = 'holdout'")
    n = len(w)
    assert row[0] == pytest.approx(effect, abs=1e-9)
    assert row[1] == pytest.approx(np.sqrt(squares * n / (n - 1)), abs=1e-9)
    assert row[2] == n
    all_users, error = stored(
        db, "effect, std_error from evaluation.average_effects where split = 'all'"
    )
    truth, naive = db.one(
        "select avg(true_cate), avg(converted) filter (treated = 1) - avg(converted) filter "
        "(treated = 0) from raw.simulated"
    )
    assert abs(all_users - truth) < 4 * error < abs(naive - truth)


def test_what_reads_users_reads_their_chances(db: Warehouse, experiment: BatchExperiment) -> None:
    users = read_train_users(db, experiment, "treated")
    (expected,) = db.one("select avg(propensity) from assignment.simulated where split = 'train'")
    assert users.propensities.mean() == pytest.approx(expected)
    for table in ("segments", "deciles", "bands", "calibration", "qini_curve"):
        (rows, wrong) = db.one(
            "select count(*), count_if(not coalesce(isfinite(std_error), false)) "
            f"from evaluation.{table}"
        )
        assert rows > 0
        assert wrong == 0, table
    assert db.one("select count(*) from models.registry")[0] > 0
