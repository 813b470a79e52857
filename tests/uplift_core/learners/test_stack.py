"""The stack is the mean of its members; its forest draws users, not cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.uplift_core.learners.rct import PARAMETERS, Rct, make_rct
from uplift_core.boosting.booster import predict_booster
from uplift_core.boosting.forest import Halves, keys_of
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.learners import ContrastModel, OutcomeModels, fit_contrast
from uplift_core.learners.nuisance import Nuisances, fit_nuisances
from uplift_core.learners.stack import RLossSums, half_of_users

TREES = 2_000


@pytest.fixture(scope="module")
def rct() -> Rct:
    return make_rct(propensity=0.7)


@pytest.fixture(scope="module")
def model(rct: Rct) -> ContrastModel:
    return fit_contrast(rct.cells(), PARAMETERS)


def test_it_is_the_mean_of_s_x_and_the_forest(rct: Rct, model: ContrastModel) -> None:
    forest = predict_booster(model.boosters["stack_forest"], rct.x)
    members = [model.predict(rct.x, "s"), model.predict(rct.x, "x"), forest]
    assert model.predict(rct.x, "stack") == pytest.approx(np.mean(members, axis=0), abs=1e-7)
    assert min(np.std(forest - member) for member in members[:2]) > 1e-3


def test_what_the_features_add_adds_up(rct: Rct, model: ContrastModel) -> None:
    parts = model.contributions(rct.x[:200], "stack")
    assert parts.sum(axis=1) == pytest.approx(model.predict(rct.x[:200], "stack"), abs=1e-6)


def test_a_bundle_without_the_forest_has_the_other_learners(rct: Rct, model: ContrastModel) -> None:
    earlier = {role: b for role, b in model.boosters.items() if role != "stack_forest"}
    loaded = ContrastModel.from_boosters(earlier, rct.propensity)
    assert set(loaded.learners) == {"s", "t", "x", "r", "dr"}
    assert set(loaded.predict_all(rct.x).cate) == set(loaded.learners)


def nuisances_of(rct: Rct) -> Nuisances:
    return fit_nuisances(OutcomeModels.of(rct.cells(), PARAMETERS))


def test_a_draw_of_cells_is_distributed_as_one_of_users(rct: Rct) -> None:
    """Mean and covariance of each feature cell's sums, against those of single users, drawn or not."""
    cells = rct.cells()
    nuisances = nuisances_of(rct)
    sums = RLossSums.of(cells, nuisances)
    draw = half_of_users(cells, sums, 7)
    drawn = np.array([draw(tree) for tree in range(TREES)])  # (trees, 2, rows)
    # One row for each user, with the user's cell's m.
    part = np.repeat(np.arange(len(cells.n)), cells.n.astype(int))
    first = np.r_[0, np.cumsum(cells.n)[:-1]].astype(int)
    y = (np.arange(len(part)) - first[part] < cells.events[part]).astype(float)
    label, weight = sums.residual[part] * (y - sums.m[part]), sums.residual[part] ** 2
    at, rows = sums.place[part], len(sums.rows)
    for k, column in enumerate((label, weight)):
        mean = np.bincount(at, column, rows) / 2
        variance = np.bincount(at, column**2, rows) / 4
        z = (drawn[:, k].mean(axis=0) - mean) / np.sqrt(variance / TREES)
        assert np.mean(z**2) == pytest.approx(1, abs=4 * np.sqrt(2 / rows))
        ratio = drawn[:, k].var(axis=0).sum() / variance.sum()
        assert ratio == pytest.approx(1, abs=0.05)


def test_the_draw_does_not_depend_on_who_has_which_cells(rct: Rct) -> None:
    """Workers that train together have some of the feature cells each."""
    for outcome in (rct.users.y, rct.x[:, 0] + rct.users.w):
        cells = rct.cells(y=outcome)
        nuisances = nuisances_of(rct)
        whole = RLossSums.of(cells, nuisances)
        labels, weights = half_of_users(cells, whole, 7)(3)
        mine = cells.cell % 2 == 0
        part = cells.at(mine)
        sums = RLossSums.of(part, replace(nuisances, m_oof=nuisances.m_oof[mine]))
        my_labels, my_weights = half_of_users(part, sums, 7)(3)
        at = np.isin(whole.rows, sums.rows)
        assert my_labels == pytest.approx(labels[at], abs=1e-12)
        assert my_weights == pytest.approx(weights[at], abs=1e-12)


def test_draws_are_binomial_and_independent_between_cells_and_trees() -> None:
    counts = np.array([0.0, 1.0, 1.0, 7.0, 64.0, 65.0, 500.0])
    halves = Halves.of(counts, keys_of(np.arange(len(counts), dtype=np.uint64)))
    drawn = np.array([halves.draw(tree) for tree in range(4_000)])
    error = np.sqrt(counts / 4 / len(drawn))
    assert np.abs(drawn.mean(axis=0) - counts / 2).max() <= 4 * error.max()
    assert drawn.var(axis=0) == pytest.approx(counts / 4, rel=0.1)
    correlation = np.corrcoef(drawn[:, 1:].T)
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 0.07
    assert abs(np.corrcoef(drawn[1:, 6], drawn[:-1, 6])[0, 1]) < 0.07
    assert drawn.min() >= 0
    assert (drawn <= counts).all()


def test_it_ranks_users_better_than_its_members_do_on_average() -> None:
    """On one small experiment; ``make bench-simulated`` has the averages of many."""
    rct = make_rct(n=20_000, propensity=0.5, max_bins=64)
    fitted = fit_contrast(rct.cells(), LearnerParameters())
    cate = rct.users.cate
    predicted = {name: fitted.predict(rct.x, name) for name in ("s", "x", "stack")}
    predicted["forest"] = predict_booster(fitted.boosters["stack_forest"], rct.x)
    rank = {name: spearmanr(values, cate).statistic for name, values in predicted.items()}
    assert rank["stack"] > np.mean([rank[name] for name in ("s", "x", "forest")]) + 0.005


def test_the_forest_differs_by_seed_only(rct: Rct, model: ContrastModel) -> None:
    other = fit_contrast(rct.cells(), replace_seed(PARAMETERS, 8))
    ours, theirs = (m.boosters["stack_forest"].save_raw("ubj") for m in (model, other))
    assert ours != theirs
    again = fit_contrast(rct.cells(), PARAMETERS, threads=2)
    assert ours == again.boosters["stack_forest"].save_raw("ubj")


def replace_seed(parameters: LearnerParameters, seed: int) -> LearnerParameters:
    return parameters.model_copy(update={"seed": seed})
