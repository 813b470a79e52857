"""Points that implementations of these learners get wrong; each test fails for the wrong form."""

from dataclasses import replace

import numpy as np
import pytest

from tests.uplift_core.learners.rct import PARAMETERS, make_rct
from uplift_core.boosting.booster import predict_booster
from uplift_core.boosting.parameters import BoostingParameters, LearnerParameters
from uplift_core.learners.nuisance import Fitter, OutcomeModels, fit_nuisances
from uplift_core.learners.r import r_pseudo_outcome
from uplift_core.learners.x import XLearner


def fitted(cells):
    fitter = Fitter.for_cells(cells, PARAMETERS)
    return fit_nuisances(OutcomeModels(cells, fitter)), fitter


def test_x_weighs_the_control_groups_effect_by_e():
    rct = make_rct(propensity=0.85)
    nuisances, fitter = fitted(rct.cells())
    learner = XLearner.fit(rct.cells(), nuisances, fitter)
    tau0 = predict_booster(learner.boosters["tau0"], rct.x)
    tau1 = predict_booster(learner.boosters["tau1"], rct.x)
    right, wrong = 0.85 * tau0 + 0.15 * tau1, 0.15 * tau0 + 0.85 * tau1
    assert learner.predict(rct.x) == pytest.approx(right, abs=1e-6)
    assert np.abs(right - wrong).max() > 0.01, "the two forms must differ here"


def test_x_imputes_with_the_arm_model_that_did_not_see_the_user():
    rct = make_rct(propensity=0.85)
    cells = rct.cells()
    nuisances, fitter = fitted(cells)
    # Treated users' imputed effects may not change with the model of their own arm.
    other = replace(nuisances, mu1=nuisances.mu0)
    straight = XLearner.fit(cells, nuisances, fitter).boosters["tau1"].save_raw("ubj")
    assert XLearner.fit(cells, other, fitter).boosters["tau1"].save_raw("ubj") == straight


@pytest.mark.parametrize("propensity", [0.5, 0.85])
def test_r_weights_minimise_the_r_loss(propensity):
    rct = make_rct(propensity=propensity)
    nuisances, _ = fitted(rct.cells())
    cells = rct.cells()
    label, weight = r_pseudo_outcome(cells, nuisances)
    # The best constant under the R-loss, by its normal equation on residuals.
    w_residual = cells.w - propensity
    residual = cells.y_sum - cells.n * nuisances.m_oof
    best = (w_residual @ residual) / (cells.n @ w_residual**2)
    assert np.average(label, weights=weight) == pytest.approx(best, rel=1e-12)
    inverse = weight / np.where(cells.w == 1, propensity, 1 - propensity)
    if propensity != 0.5:
        assert abs(np.average(label, weights=inverse) - best) > 1e-4, "IPW on top must differ here"


def test_nothing_is_predicted_by_a_model_that_saw_the_row():
    rct = make_rct()
    inside = rct.fold == 1
    changed = np.where(inside, 1 - rct.users.y, rct.users.y)
    before, fitter = fitted(rct.cells())
    after = fit_nuisances(OutcomeModels(rct.cells(y=changed), fitter))
    in_fold = rct.cells().fold == 1
    for name in ("m_oof", "mu0_oof", "mu1_oof"):
        old, new = getattr(before, name), getattr(after, name)
        assert np.array_equal(old[in_fold], new[in_fold]), name
        assert not np.array_equal(old[~in_fold], new[~in_fold]), name


def test_leaves_hold_enough_control_events_where_outcomes_are_rare():
    rct = make_rct(n=200_000, propensity=0.85, max_bins=64)
    y = (np.random.default_rng(5).random(len(rct.x)) < 0.003).astype(float)
    grown = BoostingParameters(rounds=10, max_depth=6, learning_rate=0.1, min_leaf_events=5)
    cells = rct.cells(y=y)
    fitter = Fitter.for_cells(cells, LearnerParameters(outcome=grown, effect=grown))
    nuisances = fit_nuisances(OutcomeModels(cells, fitter))
    control_events = y[rct.users.w == 0].sum()
    assert control_events < 150, "few events: a leaf must not fall below its share"
    first = nuisances.mu0.trees_to_dataframe().query("Tree == 0 and Feature == 'Leaf'")
    assert first["Cover"].min() >= 0.9 * 5  # hessian of a leaf: expected events
    x = XLearner.fit(cells, nuisances, fitter)
    for role in ("tau0", "tau1"):
        leaves = x.boosters[role].trees_to_dataframe().query("Feature == 'Leaf'")
        share = 0.15 if role == "tau0" else 0.85
        users = leaves["Cover"].min() / share  # of both arms
        assert users * 0.15 * cells.event_rate >= 0.9 * 5
        assert leaves["Gain"].abs().max() < 0.01, "no leaf runs away"
