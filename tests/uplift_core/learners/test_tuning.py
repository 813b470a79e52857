from dataclasses import replace

import numpy as np
import pytest

from tests.uplift_core.learners.rct import make_rct
from uplift_core.boosting.parameters import BoostingParameters, LearnerParameters
from uplift_core.cells import Cells
from uplift_core.learners.tuning import TUNED_FOLDS, grid, tune

CAUTIOUS = BoostingParameters(rounds=40, max_depth=2, learning_rate=0.1, min_leaf_events=40)
WILD = BoostingParameters(rounds=200, max_depth=8, learning_rate=0.5, min_leaf_events=0, reg_lambda=0)
START = LearnerParameters(outcome=CAUTIOUS, effect=CAUTIOUS)


@pytest.fixture(scope="module")
def cells() -> Cells:
    return make_rct(n=6000, max_bins=64).cells()


def test_the_overfitted_candidate_is_not_chosen_and_every_trial_is_told(cells):
    told = []
    chosen, trials = tune(cells, START, [WILD], report=lambda done, n: told.append((done, n)))
    assert chosen.outcome == CAUTIOUS
    assert chosen.effect == CAUTIOUS
    assert chosen.s == CAUTIOUS
    assert [(t.kind, t.parameters, t.chosen) for t in trials] == [
        ("outcome", WILD, False),
        ("outcome", CAUTIOUS, True),
        ("effect", WILD, False),
        ("effect", CAUTIOUS, True),
        ("s", WILD, False),
        ("s", CAUTIOUS, True),
    ]
    assert told == [(k, 6) for k in range(1, 7)]
    wild = next(t for t in trials if t.kind == "effect" and t.parameters == WILD)
    assert wild.dr_loss > next(t for t in trials if t.kind == "effect" and t.chosen).dr_loss


def test_users_of_the_later_folds_choose_nothing(cells):
    judge = cells.fold >= TUNED_FOLDS
    changed = replace(
        cells, y_sum=np.where(judge, 0, cells.y_sum), events=np.where(judge, 0, cells.events)
    )
    chosen, trials = tune(cells, START, [WILD])
    assert [t.loss for t in tune(changed, START, [WILD])[1]] == [t.loss for t in trials]
    assert chosen.tuned_folds == TUNED_FOLDS == 2
    assert (START.tuned_folds, "tuned" in chosen.model_dump_json()) == (0, False)
    assert chosen.with_rounds(3).tuned_folds == TUNED_FOLDS


def test_start_wins_no_tie_break_it_does_not_earn(cells):
    _, trials = tune(cells, START, [WILD])
    for kind in ("outcome", "effect", "s"):
        losses = {t.parameters: t.loss for t in trials if t.kind == kind}
        best = next(t for t in trials if t.kind == kind and t.chosen)
        assert losses[best.parameters] == min(losses.values())
        assert best.std_error == 0


def test_losses_are_per_user_whatever_the_weights(cells):
    doubled = replace(cells, n=2 * cells.n, y_sum=2 * cells.y_sum, events=2 * cells.events)
    free = BoostingParameters(rounds=5, max_depth=2, learning_rate=0.1, min_leaf_events=0, reg_lambda=0)
    start = LearnerParameters(outcome=free, effect=free)
    once, twice = tune(cells, start, [free])[1], tune(doubled, start, [free])[1]
    assert [t.loss for t in twice] == pytest.approx([t.loss for t in once], rel=1e-6)


def test_the_grid_holds_distinct_candidates():
    assert len(set(grid())) == len(grid()) >= 30
    assert np.isfinite([g.learning_rate for g in grid()]).all()
