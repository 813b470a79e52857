"""Bags: a bootstrap of users on cells, the mean of the fits, and how far they differ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError
from scipy.stats import t

from tests.uplift_core.learners.rct import PARAMETERS, Rct, make_rct
from uplift_core.boosting.booster import Rows
from uplift_core.boosting.parameters import ForestParameters, LearnerParameters
from uplift_core.cells import Cells
from uplift_core.errors import DataError
from uplift_core.learners import ContrastModel, LearnerName, fit_contrast, sequential_fit
from uplift_core.learners.bags import BaggedLearner, bootstrap

DRAWS = 1_500
BAGS = 4
BAGGED = PARAMETERS.model_copy(update={"bags": BAGS, "forest": ForestParameters(trees=10)})


@pytest.fixture(scope="module")
def rct() -> Rct:
    return make_rct(propensity=0.7)


@pytest.fixture(scope="module")
def model(rct: Rct) -> ContrastModel:
    return fit_contrast(rct.cells(), BAGGED)


def drawn(cells: Cells) -> npt.NDArray[np.float64]:
    """Users and sums of outcomes of many bags: (draws, 2, n_cells)."""
    sums = np.zeros((DRAWS, 2, len(cells.n)))
    for number in range(DRAWS):
        bag, kept = bootstrap(cells, 7, number)
        sums[number][:, kept] = bag.n, bag.y_sum
    return sums


def drawn_rows(cells: Cells, y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The same of users who are drawn row by row; ``y`` has the outcomes cell after cell."""
    of_user = np.repeat(np.arange(len(cells.n)), cells.n.astype(int))
    rng = np.random.default_rng(1)
    arms = [np.flatnonzero(cells.w[of_user] == w) for w in (0, 1)]
    sums = np.empty((DRAWS, 2, len(cells.n)))
    for of_draw in sums:
        rows = np.concatenate([rng.choice(arm, len(arm)) for arm in arms])
        for k, weight in enumerate((None, y[rows])):
            of_draw[k] = np.bincount(of_user[rows], weight, len(cells.n))
    return sums


def outcomes_by_cell(rct: Rct, y: npt.NDArray[np.float64], cells: Cells) -> npt.NDArray[np.float64]:
    """The users' outcomes in the order of the cells."""
    binned = rct.edges.codes(rct.x)
    order = np.lexsort([rct.fold, rct.users.w, *binned.T[::-1]])
    assert np.add.reduceat(y[order], np.r_[0, np.cumsum(cells.n)[:-1]].astype(int)) == pytest.approx(
        cells.y_sum
    )
    return y[order]


@pytest.mark.parametrize("kind", ["binary", "spend"])
def test_a_bag_of_cells_is_distributed_as_one_of_rows(rct: Rct, kind: str) -> None:
    """Means, variances and covariances of each cell's users and outcomes; spend is skewed, often 0."""
    spend = rct.users.y * np.random.default_rng(3).lognormal(3, 1, len(rct.users.y))
    y = rct.users.y if kind == "binary" else spend
    cells = rct.cells(y=y)
    assert (cells.n > 1).mean() > 0.3
    ours, rows = drawn(cells), drawn_rows(cells, outcomes_by_cell(rct, y, cells))
    for k in (0, 1):
        variance = rows[:, k].var(axis=0)
        gap = ours[:, k].mean(axis=0) - rows[:, k].mean(axis=0)
        z = gap[variance > 0] / np.sqrt(2 * variance[variance > 0] / DRAWS)
        assert np.mean(z**2) == pytest.approx(1, abs=5 * np.sqrt(2 / len(z)))
        assert ours[:, k].var(axis=0).sum() == pytest.approx(variance.sum(), rel=0.05)
    product = [((d[:, 0] - d[:, 0].mean(0)) * (d[:, 1] - d[:, 1].mean(0))).mean(0) for d in (ours, rows)]
    assert product[0].sum() == pytest.approx(product[1].sum(), rel=0.05)
    # The mean outcome of all, which cells that are drawn apart from each other would get wrong.
    total = [d[:, 1].sum(axis=1).std() for d in (ours, rows)]
    assert total[0] == pytest.approx(total[1], rel=0.08)


def test_each_arm_has_as_many_users_as_before(rct: Rct) -> None:
    cells = rct.cells()
    bag, kept = bootstrap(cells, 7, 0)
    for w in (0, 1):
        assert bag.n[bag.w == w].sum() == cells.n[cells.w == w].sum()
    assert (bag.events <= bag.n).all()
    assert (bag.n > 0).all()
    assert (cells.at(kept).cell == bag.cell).all()
    other, _ = bootstrap(cells, 7, 1)
    assert len(other.n) != len(bag.n) or (other.n != bag.n).any()


def test_the_control_is_drawn_alike_beside_each_treatment(rct: Rct) -> None:
    cells = rct.cells()
    smaller = cells.at(np.flatnonzero((cells.w == 0) | (cells.cell % 2 == 0)))
    (one, _), (other, _) = (bootstrap(c, 7, 2) for c in (cells, smaller))
    for column in ("cell", "n", "events"):
        of_one, of_other = (getattr(bag, column)[bag.w == 0] for bag in (one, other))
        assert np.array_equal(of_one, of_other)


def test_it_predicts_the_mean_and_the_spread_of_its_bags(rct: Rct, model: ContrastModel) -> None:
    stack = model.learners["stack"]
    assert isinstance(stack, BaggedLearner)
    each = np.array([bag.predict(rct.x) for bag in stack.bags])
    assert len(each) == BAGS
    predictions = model.predict_all(rct.x)
    assert predictions.cate["stack"] == pytest.approx(each.mean(axis=0), abs=1e-6)
    expected = each.std(axis=0, ddof=1) * np.sqrt(1 + 1 / BAGS)
    assert predictions.std_error == pytest.approx(expected, abs=1e-6)
    assert min(expected) > 0


def test_one_user_and_many_get_equal_numbers(rct: Rct, model: ContrastModel) -> None:
    many = model.predict_with_response(rct.x[:100], "stack", {})
    assert many.std_error is not None
    for i in (0, 17, 99):
        one = model.predict_with_response(rct.x[i : i + 1], "stack", {})
        assert one.std_error is not None
        assert (one.cate[0], one.std_error[0]) == (many.cate[i], many.std_error[i])
    assert model.predict_with_response(rct.x[:1], "x", {}).std_error is None


def test_what_the_features_add_adds_up(rct: Rct, model: ContrastModel) -> None:
    parts = model.contributions(rct.x[:200], "stack")
    assert parts.sum(axis=1) == pytest.approx(model.predict(rct.x[:200], "stack"), abs=1e-6)


@pytest.mark.parametrize("learner", ["stack", "s", "t", "x", "r", "dr"])
def test_any_learner_can_have_bags_and_comes_back_from_its_boosters(
    rct: Rct, learner: LearnerName
) -> None:
    fitted = fit_contrast(rct.cells(), BAGGED.model_copy(update={"bags": 2}), decides=learner)
    loaded = ContrastModel.from_boosters(fitted.boosters, rct.propensity)
    ours, theirs = fitted.predict_all(rct.x), loaded.predict_all(rct.x)
    assert set(ours.cate) == set(theirs.cate)
    assert all(np.array_equal(ours.cate[name], theirs.cate[name]) for name in ours.cate)
    assert np.array_equal(ours.mu1, theirs.mu1)
    assert ours.std_error is not None
    assert theirs.std_error is not None
    assert np.array_equal(ours.std_error, theirs.std_error)
    bagged = [name for name, of in loaded.learners.items() if isinstance(of, BaggedLearner)]
    assert bagged == [learner]


def test_the_learners_that_have_none_stay_as_they_are(rct: Rct, model: ContrastModel) -> None:
    plain = fit_contrast(rct.cells(), BAGGED.model_copy(update={"bags": 0}))
    for name in ("s", "t", "x", "r", "dr"):
        assert np.array_equal(plain.predict(rct.x, name), model.predict(rct.x, name))
    assert not [role for role in plain.boosters if "bag" in role]


def test_learners_are_judged_with_their_bags(rct: Rct) -> None:
    for _, judged in sequential_fit(rct.cells(), BAGGED):
        assert isinstance(judged.learners["stack"], BaggedLearner)


def test_bags_are_equal_for_any_number_of_threads(rct: Rct, model: ContrastModel) -> None:
    again = fit_contrast(rct.cells(), BAGGED, threads=2)
    for role, booster in model.boosters.items():
        assert booster.save_raw("ubj") == again.boosters[role].save_raw("ubj")


def test_no_bags_are_not_written_and_one_is_refused() -> None:
    assert "bags" not in LearnerParameters().model_dump()
    assert LearnerParameters(bags=2).model_dump()["bags"] == 2
    with pytest.raises(ValidationError, match="one bag has no standard error; give 2 or more"):
        LearnerParameters(bags=1)


def test_intervals_hold_the_smoothed_effect() -> None:
    """The smoothed effect is the mean prediction over experiments; t has a degree of freedom less."""
    parameters = BAGGED.model_copy(update={"bags": 10})
    x = make_rct(n=100, seed=99).x
    means, errors = [], []
    for seed in range(30):
        fitted = fit_contrast(make_rct(n=1_500, seed=seed).cells(), parameters)
        stack = fitted.learners["stack"]
        assert isinstance(stack, BaggedLearner)
        mean, error = stack.predict_with_error(Rows(x))
        means.append(mean)
        errors.append(error)
    centre, spread = np.mean(means, axis=0), np.std(means, axis=0, ddof=1)
    inside = np.abs(means - centre) <= t.ppf(0.975, 9) * np.array(errors)
    assert inside.mean() > 0.94
    # They are those of one fit, so a little wider than they would have to be.
    ratio = np.sqrt(np.mean(np.square(errors), axis=0)) / spread
    assert 0.95 < np.median(ratio) < 1.5


def test_workers_that_train_together_draw_no_bags(rct: Rct, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uplift_core.learners.nuisance.trains_alone", lambda: False)
    with pytest.raises(DataError, match="bags = 4: workers that train one model together draw no bags"):
        fit_contrast(rct.cells(), BAGGED)
