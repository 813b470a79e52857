"""Learners on users whose chance of the treatment differs: cells stand for rows, each with its e."""

from __future__ import annotations

import numpy as np
import pytest

from tests.uplift_core.learners.rct import PARAMETERS, make_rct
from uplift_core.cells import BinnedUsers, Cells, UserRows
from uplift_core.learners import LEARNER_NAMES, SINGLE_LEARNERS
from uplift_core.learners.contrast import ContrastModel, fit_contrast
from uplift_core.learners.dr import dr_pseudo_outcome
from uplift_core.learners.nuisance import OutcomeModels, fit_nuisances
from uplift_core.learners.r import r_pseudo_outcome
from uplift_core.learners.stack import RLossSums

EACH = pytest.mark.parametrize("learner", SINGLE_LEARNERS)  # the stack draws users at random
CHANCES = (0.1, 0.3, 0.6, 0.8)


@pytest.fixture(scope="module")
def users() -> BinnedUsers:
    rct = make_rct()
    rng = np.random.default_rng(5)
    e = rng.choice(CHANCES, len(rct.x))
    w = (rng.random(len(e)) < e).astype(np.int8)
    y = (rng.random(len(e)) < 0.1 + 0.4 * e + 0.1 * w).astype(float)
    rows = UserRows(rct.x, w, y, rct.fold, propensity=0.45, binary=True, propensities=e)
    return BinnedUsers.of(rct.edges, rows)


def one_cell_a_user(users: BinnedUsers) -> Cells:
    return Cells(
        x=users.x,
        cell=users.cell,
        w=users.w,
        fold=users.fold,
        n=np.ones(len(users.y)),
        y_sum=users.y,
        events=users.y,
        propensity=users.propensity,
        binary=True,
        propensities=users.propensities,
    )


@pytest.fixture(scope="module")
def model(users: BinnedUsers) -> ContrastModel:
    return fit_contrast(users.cells(), PARAMETERS)


@pytest.fixture(scope="module")
def on_rows(users: BinnedUsers) -> ContrastModel:
    return fit_contrast(one_cell_a_user(users), PARAMETERS)


def test_a_cell_holds_users_of_one_chance(users: BinnedUsers) -> None:
    cells = users.cells()
    assert cells.n.sum() == len(users.y) > len(cells.n)
    assert sorted(set(cells.propensities)) == list(CHANCES)
    place = {key: i for i, key in enumerate(zip(cells.cell, cells.w, cells.fold, cells.propensities))}  # noqa: B905
    assert len(place) == len(cells.n)
    added = np.zeros(len(cells.n))
    for cell, w, fold, e, y in zip(
        users.cell, users.w, users.fold, users.propensities, users.y, strict=True
    ):
        added[place[cell, w, fold, e]] += y
    assert np.array_equal(added, cells.y_sum)


@EACH
def test_cells_equal_rows(
    users: BinnedUsers, model: ContrastModel, on_rows: ContrastModel, learner: str
) -> None:
    x = users.x
    assert model.predict(x, learner) == pytest.approx(on_rows.predict(x, learner), abs=1e-6)


def test_pseudo_outcomes_are_those_of_each_users_chance(users: BinnedUsers) -> None:
    cells = one_cell_a_user(users)
    fitted = fit_nuisances(OutcomeModels.of(cells, PARAMETERS))
    e, w, y = users.propensities, users.w.astype(float), users.y
    label, weight = r_pseudo_outcome(cells, fitted)
    assert label == pytest.approx((y - fitted.m_oof) / (w - e), abs=1e-12)
    assert weight == pytest.approx((w - e) ** 2, abs=1e-12)
    mu0, mu1 = fitted.mu0_oof, fitted.mu1_oof
    phi = mu1 - mu0 + w * (y - mu1) / e - (1 - w) * (y - mu0) / (1 - e)
    assert dr_pseudo_outcome(cells, fitted) == pytest.approx(phi, abs=1e-12)
    assert cells.mean_overlap == pytest.approx((e * (1 - e)).mean())


def test_x_takes_the_overall_chance_for_a_user_who_was_not_assigned(
    users: BinnedUsers, model: ContrastModel
) -> None:
    x = model.learners["x"]
    tau = [x.boosters[role] for role in ("tau0", "tau1")]
    alone = [type(x)({"tau0": booster, "tau1": booster}, 0.0).predict(users.x) for booster in tau]
    mixed = np.float32(0.45) * alone[0] + np.float32(0.55) * alone[1]
    assert model.predict(users.x, "x") == pytest.approx(mixed, abs=1e-6)


def test_the_stacks_forest_adds_up_each_users_residual(users: BinnedUsers) -> None:
    cells, rows = users.cells(), one_cell_a_user(users)
    fitted = fit_nuisances(OutcomeModels.of(rows, PARAMETERS))
    e, w = users.propensities, users.w.astype(float)
    label = np.bincount(users.cell, (w - e) * (users.y - fitted.m_oof))
    weight = np.bincount(users.cell, (w - e) ** 2)
    for some in (cells, rows):
        sums = RLossSums.of(some, fit_nuisances(OutcomeModels.of(some, PARAMETERS)))
        found = sums.of_users(some.n, some.y_sum)
        assert found[0] == pytest.approx(label[sums.rows], abs=1e-5)
        assert found[1] == pytest.approx(weight[sums.rows], abs=1e-9)


@pytest.fixture(scope="module")
def confounded() -> tuple[np.ndarray, ContrastModel]:
    """An effect of .2, and an outcome that rises with e, which is no feature."""
    rct = make_rct(8000)
    rng = np.random.default_rng(6)
    e = rng.choice((0.1, 0.8), len(rct.x))
    w = (rng.random(len(e)) < e).astype(np.int8)
    y = 3 * e + 0.2 * w + 0.1 * rng.normal(size=len(e))
    rows = UserRows(rct.x, w, y, rct.fold, propensity=0.45, binary=False, propensities=e)
    assert y[w == 1].mean() - y[w == 0].mean() > 1
    return rct.x, fit_contrast(BinnedUsers.of(rct.edges, rows).cells(), PARAMETERS)


@pytest.mark.parametrize("learner", LEARNER_NAMES)
def test_no_learner_is_misled_where_chances_go_with_the_outcome(
    confounded: tuple[np.ndarray, ContrastModel], learner: str
) -> None:
    x, model = confounded
    assert model.predict(x, learner).mean() == pytest.approx(0.2, abs=0.1)
