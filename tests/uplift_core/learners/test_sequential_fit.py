"""Learners compared fold after fold: what they were fitted on, and how often."""

import numpy as np
import pytest

from tests.uplift_core.learners.rct import PARAMETERS, make_rct
from uplift_core.boosting.booster import fit_booster
from uplift_core.errors import DataError
from uplift_core.learners import LEARNER_NAMES, OutcomeModels
from uplift_core.learners.contrast import LEARNERS, fit_contrast, fit_learners
from uplift_core.learners.nuisance import Fitter, fit_nuisances, predict_at
from uplift_core.learners.sequential import sequential_fit


def raw(model):
    return {role: raw_of(booster) for role, booster in model.boosters.items()}


def raw_of(booster):
    return bytes(booster.save_raw("ubj"))


def boosters(cells):
    return {fold: raw(model) for fold, model in sequential_fit(cells, PARAMETERS)}


def test_each_fold_but_the_first_is_judged_by_the_folds_before_it():
    rct = make_rct()
    cells = rct.cells()
    fitted = boosters(cells)
    assert list(fitted) == [1, 2]
    # Their own users, and whoever comes later, may be anything.
    shuffled = rct.users.y.copy()
    later = rct.fold == 2
    shuffled[later] = 1 - shuffled[later]
    changed = boosters(rct.cells(y=shuffled))
    assert changed == fitted
    shuffled[rct.fold == 1] = np.random.default_rng(2).permutation(shuffled[rct.fold == 1])
    changed = boosters(rct.cells(y=shuffled))
    assert changed[1] == fitted[1]
    assert changed[2] != fitted[2]


def test_a_folds_arm_models_are_those_of_an_experiment_that_ends_before_it():
    cells = make_rct().cells()
    for fold, model in sequential_fit(cells, PARAMETERS):
        earlier = cells.without(range(fold, cells.n_folds))
        arms = OutcomeModels.of(earlier, PARAMETERS).arms()  # with leaves of its own size
        t = model.learners["t"].boosters
        assert raw_of(t["mu0"]) == raw_of(arms.mu0)
        assert raw_of(t["mu1"]) == raw_of(arms.mu1)


def test_what_learners_need_cross_fitted_comes_from_other_folds():
    """Where two folds train: each by the other."""
    cells = make_rct().cells()
    *_, (fold, model) = sequential_fit(cells, PARAMETERS)
    two = cells.without({fold})
    nuisances = fit_nuisances(OutcomeModels(two, Fitter.for_cells(two, PARAMETERS)))
    sized = {k: OutcomeModels.of(cells.without({1 - k, 2}), PARAMETERS) for k in (0, 1)}
    for k in (0, 1):
        rows = two.fold == k
        m = predict_at(sized[1 - k].pooled(), two.x, two.cell[rows])
        nuisances.m_oof[rows] = m
        nuisances.mu0_oof[rows] = predict_at(sized[1 - k].arm(0), two.x, two.cell[rows])
        nuisances.mu1_oof[rows] = predict_at(sized[1 - k].arm(1), two.x, two.cell[rows])
    fitter = Fitter.for_cells(two, PARAMETERS)
    for name in ("r", "dr"):
        expected = LEARNERS[name].fit(two, nuisances, fitter).boosters["tau"]
        assert raw_of(model.learners[name].boosters["tau"]) == raw_of(expected)


def test_no_model_is_fitted_twice(monkeypatch):
    grown = []

    def count(*args, **kwargs):
        grown.append(1)
        return fit_booster(*args, **kwargs)

    monkeypatch.setattr("uplift_core.learners.nuisance.fit_booster", count)
    rct = make_rct()
    cells = rct.cells(fold=np.random.default_rng(1).integers(0, 5, len(rct.fold)))
    fit_contrast(cells, PARAMETERS)
    effect_fits = len(("s", "tau0", "tau1", "r", "dr"))
    assert len(grown) == 5 + 2 * (1 + 5) + effect_fits
    grown.clear()
    list(sequential_fit(cells, PARAMETERS))
    # Folds {0}, {1}, {0, 1}, {0, 1, 2} in three models, {0, 1, 2, 3} in those of the arms.
    assert len(grown) == 4 * 3 + 2 + 4 * effect_fits


def test_folds_without_an_arm_before_them_are_left_out():
    rct = make_rct()
    w = np.where(rct.fold == 0, 1, rct.users.w)
    assert list(boosters(rct.cells(w=w))) == [2]
    w = np.where(rct.fold == 1, 1, rct.users.w)
    assert list(boosters(rct.cells(w=w))) == [1, 2]


def test_the_main_model_is_fit_contrasts():
    cells = make_rct().cells()
    models = OutcomeModels.of(cells, PARAMETERS)
    assert raw(fit_learners(models)) == raw(fit_contrast(cells, PARAMETERS))


def test_two_folds_are_too_few_to_compare():
    rct = make_rct()
    cells = rct.cells(fold=rct.fold % 2)
    with pytest.raises(DataError, match="three or more"):
        next(sequential_fit(cells, PARAMETERS))
    assert set(fit_contrast(cells, PARAMETERS).learners) == set(LEARNER_NAMES)
