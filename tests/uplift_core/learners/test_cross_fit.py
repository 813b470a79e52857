"""Learners compared out of fold: what they were fitted on, and how often."""

from dataclasses import replace

import numpy as np
import pytest

from tests.uplift_core.learners.rct import PARAMETERS, make_rct
from uplift_core.boosting.booster import fit_booster
from uplift_core.errors import DataError
from uplift_core.learners import LEARNER_NAMES, OutcomeModels
from uplift_core.learners.contrast import cross_fit, fit_contrast, fit_learners


def raw(model):
    return {role: bytes(booster.save_raw("ubj")) for role, booster in model.boosters.items()}


def test_a_folds_learners_are_those_of_an_experiment_without_it():
    cells = make_rct().cells()
    models = OutcomeModels.of(cells, PARAMETERS)
    fit_learners(models)  # what it fitted is used again
    for fold, model in cross_fit(models):
        others = cells.without({fold})
        renumbered = replace(others, fold=others.fold - (others.fold > fold))
        assert raw(fit_learners(replace(models, cells=renumbered, _fitted={}))) == raw(model)


def test_a_folds_learners_know_nothing_of_it():
    rct = make_rct()
    inside = np.flatnonzero(rct.fold == 1)
    changed = rct.users.y.copy()
    for w in (0, 1):  # the event rate, which sizes leaves, stays as it is
        own = inside[rct.users.w[inside] == w]
        changed[own] = np.random.default_rng(2).permutation(changed[own])
    before, after = (
        {fold: raw(model) for fold, model in cross_fit(OutcomeModels.of(rct.cells(y=y), PARAMETERS))}
        for y in (rct.users.y, changed)
    )
    assert before[1] == after[1]
    assert before[0] != after[0]


def test_no_model_is_fitted_twice(monkeypatch):
    grown = []

    def count(*args, **kwargs):
        grown.append(1)
        return fit_booster(*args, **kwargs)

    monkeypatch.setattr("uplift_core.learners.nuisance.fit_booster", count)
    models = OutcomeModels.of(make_rct().cells(), PARAMETERS)
    fit_learners(models)
    pooled, arms, own = 3, 2 * (1 + 3), len(("s", "tau0", "tau1", "r", "dr"))
    assert len(grown) == pooled + arms + own
    list(cross_fit(models))
    # Of a fold's others the arm models are there already; those of two folds less serve two folds.
    assert len(grown) == pooled + arms + own + 3 * (1 + 2) + 3 * own


def test_the_main_model_is_fit_contrasts():
    cells = make_rct().cells()
    models = OutcomeModels.of(cells, PARAMETERS)
    list(cross_fit(models))
    assert raw(fit_learners(models)) == raw(fit_contrast(cells, PARAMETERS))


def test_two_folds_are_too_few_to_compare():
    rct = make_rct()
    cells = rct.cells(fold=rct.fold % 2)
    with pytest.raises(DataError, match="three or more"):
        next(cross_fit(OutcomeModels.of(cells, PARAMETERS)))
    assert set(fit_contrast(cells, PARAMETERS).learners) == set(LEARNER_NAMES)
