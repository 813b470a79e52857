"""What must hold of every learner, whatever the data."""

from dataclasses import replace

import numpy as np
import pytest

from tests.uplift_core.learners.rct import PARAMETERS, make_rct
from uplift_core.learners import LEARNER_NAMES, SINGLE_LEARNERS
from uplift_core.learners.contrast import fit_contrast
from uplift_core.learners.dr import DRLearner, dr_pseudo_outcome
from uplift_core.learners.nuisance import Fitter, OutcomeModels, fit_nuisances
from uplift_core.learners.r import RLearner, r_pseudo_outcome

EACH = pytest.mark.parametrize("learner", LEARNER_NAMES)
EACH_SINGLE = pytest.mark.parametrize("learner", SINGLE_LEARNERS)  # the stack draws users at random


@pytest.fixture(scope="module", params=[0.5, 0.85], ids=["even", "uneven"])
def rct(request):
    return make_rct(propensity=request.param)


@pytest.fixture(scope="module")
def model(rct):
    return fit_contrast(rct.cells(), PARAMETERS)


@EACH_SINGLE
def test_cells_equal_rows(rct, model, learner):
    on_rows = fit_contrast(rct.one_cell_a_user(), PARAMETERS)
    assert len(rct.cells().n) < len(rct.x) / 2, "cells must really add users up"
    assert model.predict(rct.x, learner) == pytest.approx(on_rows.predict(rct.x, learner), abs=1e-6)


@EACH_SINGLE
def test_cells_equal_rows_with_missing_values(learner):
    rct = make_rct(missing=0.2)
    on_cells = fit_contrast(rct.cells(), PARAMETERS).predict(rct.x, learner)
    on_rows = fit_contrast(rct.one_cell_a_user(), PARAMETERS).predict(rct.x, learner)
    assert np.isnan(rct.x).any()
    assert on_cells == pytest.approx(on_rows, abs=1e-6)


@EACH
def test_raw_features_score_as_their_bins(model, rct, learner):
    rng = np.random.default_rng(2)
    raw = rng.normal(0, 3, (5000, 4)).astype(np.float32)
    raw[rng.random(raw.shape) < 0.05] = np.nan
    raw[:100] = rng.choice(np.concatenate(rct.edges.edges), (100, 4))  # values on an edge
    binned = rct.edges.bin(raw)
    assert not np.array_equal(raw, binned, equal_nan=True)
    assert np.array_equal(model.predict(raw, learner), model.predict(binned, learner))


@EACH
def test_one_user_scores_as_among_many(model, rct, learner):
    many = model.predict(rct.x[:50], learner)
    one = [model.predict(rct.x[i : i + 1], learner)[0] for i in range(50)]
    assert np.array_equal(many, np.array(one))


@EACH
def test_all_predictions_at_once_are_those_of_each_learner(model, rct, learner):
    predictions = model.predict_all(rct.x)
    assert np.array_equal(predictions.cate[learner], model.predict(rct.x, learner))
    assert np.array_equal(predictions.mu0, model.predict_response(rct.x))


@EACH
def test_the_order_of_rows_changes_nothing(model, rct, learner):
    shuffled = fit_contrast(rct.cells(np.random.default_rng(3).permutation(len(rct.x))), PARAMETERS)
    assert np.array_equal(model.predict(rct.x, learner), shuffled.predict(rct.x, learner))


@EACH
def test_rows_given_twice_are_rows_of_weight_two(rct, learner):
    twice = rct.cells(np.repeat(np.arange(len(rct.x)), 2))
    once = rct.cells()
    weighted = replace(once, n=2 * once.n, y_sum=2 * once.y_sum, events=2 * once.events)
    a = fit_contrast(twice, PARAMETERS).predict(rct.x, learner)
    b = fit_contrast(weighted, PARAMETERS).predict(rct.x, learner)
    assert np.array_equal(a, b)


@pytest.mark.parametrize("learner", ["t", "x", "r", "dr"])
def test_swapping_the_arms_negates_the_effect(rct, model, learner):
    # Leaves are sized by the control's events; without a smallest leaf the arms play equal parts.
    free = PARAMETERS.model_copy(
        update={
            "outcome": PARAMETERS.outcome.model_copy(update={"min_leaf_events": 0}),
            "effect": PARAMETERS.effect.model_copy(update={"min_leaf_events": 0}),
        }
    )
    straight = fit_contrast(rct.cells(), free)
    swapped = fit_contrast(rct.cells(w=1 - rct.users.w, propensity=1 - rct.propensity), free)
    assert swapped.predict(rct.x, learner) == pytest.approx(-straight.predict(rct.x, learner), abs=1e-5)


@EACH
def test_a_constant_effect_is_recovered(rct, learner):
    y = rct.x[:, 0].clip(-1, 1) + 0.7 * rct.users.w
    tau = fit_contrast(rct.cells(y=y), PARAMETERS).predict(rct.x, learner)
    assert tau.mean() == pytest.approx(0.7, abs=0.01)
    assert tau == pytest.approx(np.full(len(tau), 0.7), abs=0.1)


def test_r_equals_dr_at_even_shares_with_equal_nuisances():
    rct = make_rct(propensity=0.5)
    cells = rct.cells()
    fitter = Fitter.for_cells(cells, PARAMETERS)
    fitted = fit_nuisances(OutcomeModels(cells, fitter))
    equal = replace(fitted, m_oof=(fitted.mu0_oof + fitted.mu1_oof) / 2)
    label, weight = r_pseudo_outcome(cells, equal)
    assert label == pytest.approx(dr_pseudo_outcome(cells, equal), abs=1e-12)
    assert weight == pytest.approx(cells.n / 4)
    r = RLearner.fit(cells, equal, fitter).predict(rct.x)
    assert r == pytest.approx(DRLearner.fit(cells, equal, fitter).predict(rct.x), abs=1e-6)


def test_the_same_seed_gives_the_same_bytes(rct, model):
    again = fit_contrast(rct.cells(), PARAMETERS)
    for role, booster in model.boosters.items():
        assert booster.save_raw("ubj") == again.boosters[role].save_raw("ubj"), role


def test_boosters_survive_the_trip(rct, model):
    copy = type(model).from_boosters(model.boosters, rct.propensity)
    for learner in LEARNER_NAMES:
        assert np.array_equal(copy.predict(rct.x, learner), model.predict(rct.x, learner))
