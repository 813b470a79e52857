"""Stack: the mean of the S-learner, the X-learner and a causal forest.

The best single learner differs from experiment to experiment, and which one it is can hardly be told
from the data: the winner of a comparison is mostly the luckiest. The mean of a few learners that err in
different ways ranks about as well as the best of them, without a choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import xgboost

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import Rows
from uplift_core.boosting.forest import DRAWN, Draw, ForestData, Halves, fit_forest, keys_of
from uplift_core.boosting.tree_shap import shapley_values
from uplift_core.boosting.workers import sum_over_workers
from uplift_core.cells import Cells, distinct
from uplift_core.learner_names import LearnerName
from uplift_core.learners.base import Learner, Term
from uplift_core.learners.nuisance import Fitter, Nuisances
from uplift_core.learners.s import SLearner
from uplift_core.learners.x import XLearner

FOREST = "forest"


class StackLearner:
    """tau(x) = (tau_S(x) + tau_X(x) + tau_F(x)) / 3, where F is the forest of ``fit_r_forest``.

    The weights are equal and fixed, so nothing is learned from the folds that judge the learner.
    """

    name: ClassVar[LearnerName] = "stack"

    def __init__(self, s: Learner, x: Learner, forest: xgboost.Booster, *, shared: bool = True) -> None:
        """Combine the members; ``shared``: whether S and X are learners of their own, too."""
        self._s, self._x, self._forest = s, x, forest
        of_members = {} if shared else {m.name: m.boosters for m in (s, x)}
        self.boosters: Mapping[str, xgboost.Booster] = {
            **{f"{name}_{role}": b for name, roles in of_members.items() for role, b in roles.items()},
            FOREST: forest,
        }
        self.propensity = x.propensity

    @classmethod
    def from_boosters(cls, boosters: Mapping[str, xgboost.Booster], propensity: float) -> Self:
        """Build a stack whose S and X are its alone from ``boosters``, which it inverts."""

        def of(mark: str) -> dict[str, xgboost.Booster]:
            return {k.removeprefix(mark): b for k, b in boosters.items() if k.startswith(mark)}

        s, x = SLearner(of("s_"), propensity), XLearner(of("x_"), propensity)
        return cls(s, x, boosters[FOREST], shared=False)

    def predict(self, x: Floats) -> Floats:
        """Predict the CATE of each row of raw features ``x`` (n, n_features) float32: (n,) float32."""
        return self.predict_rows(Rows(x))

    def predict_rows(self, rows: Rows) -> Floats:
        """Predict as ``predict`` does, from rows that other boosters predict, too: (n,) float32."""
        return self.combine(rows, self._s.predict_rows(rows), self._x.predict_rows(rows))

    def combine(self, rows: Rows, s: Floats, x: Floats) -> Floats:
        """Predict from what the S- and the X-learner predicted for the same rows: (n,) float32."""
        return (s + x + rows.predict(self._forest)) / np.float32(3)

    def terms(self) -> list[Term]:
        """Return the terms that add up to the CATE, which ``predict`` computes in float32."""
        of_members = [*self._s.terms(), *self._x.terms(), Term(1.0, self._forest)]
        return [term.times(1 / 3) for term in of_members]

    def contributions(self, x: Floats) -> Doubles:
        """Compute what each feature adds to each CATE, and the bias: (n, n_features + 1) float64."""
        of_members = self._s.contributions(x) + self._x.contributions(x)
        return (of_members + shapley_values(self._forest, x)) / 3


def fit_r_forest(cells: Cells, nuisances: Nuisances, fitter: Fitter) -> xgboost.Booster:
    """Fit a forest to the R-loss, sum of ((Y - m(x)) - (W - e) * tau(x))**2 (Nie & Wager 2021).

    Each tree is grown on its own draw of users, as a causal forest's are (Athey, Tibshirani & Wager
    2019, section 6.1.1), but its leaves are estimated on the users that chose its splits.
    """
    parameters = fitter.parameters.forest
    sums = RLossSums.of(cells, nuisances)
    labels, weights = sums.of_users(cells.n, cells.y_sum)
    label, weight, n = sum_over_workers([labels.sum(), weights.sum(), cells.n.sum()])
    data = ForestData(
        x=cells.x[sums.rows],
        draw=half_of_users(cells, sums, fitter.parameters.seed),
        base=float(label / weight),
        smallest_leaf=parameters.min_leaf_share * n * DRAWN * cells.mean_overlap,
        max_bin=cells.max_bin,
    )
    return fit_forest(data, parameters, seed=fitter.parameters.seed, threads=fitter.threads)


@dataclass(frozen=True)
class RLossSums:
    """Adds up the R-loss by feature cell: the sums of weight * label and of weight.

    Attributes:
        rows: (n_rows,) feature cells that occur, ascending.
        place: (n_cells,) place of each cell in ``rows``.
        residual: (n_cells,) W - e.
        m: (n_cells,) out-of-fold E[Y | x].
    """

    rows: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    residual: Doubles
    m: Doubles

    @classmethod
    def of(cls, cells: Cells, nuisances: Nuisances) -> RLossSums:
        """Prepare the sums."""
        rows = distinct(cells.cell)
        place = np.searchsorted(rows, cells.cell)
        residual = np.asarray(cells.w - cells.e, dtype=np.float64)
        return cls(rows, place, residual, nuisances.m_oof)

    def of_users(self, n: Doubles, y: Doubles) -> tuple[Doubles, Doubles]:
        """Add up ``n`` users of each cell, whose outcomes have the sum ``y``: (n_rows,) each."""
        columns = (self.residual * (y - self.m * n), self.residual**2 * n)
        added = (np.bincount(self.place, column, len(self.rows)) for column in columns)
        label, weight = (np.asarray(column, dtype=np.float64) for column in added)
        return label, weight


def half_of_users(cells: Cells, sums: RLossSums, seed: int) -> Draw:
    """Return a function that draws a half of all users for a tree and adds up their R-loss.

    Of a binary outcome, users with and without an event are drawn separately: the draw is distributed as
    one of single users. Of other outcomes, the drawn users of a cell are taken to have its mean.
    """
    size = len(cells.n)
    e = np.broadcast_to(np.asarray(cells.e, dtype=np.float64), size)
    who = np.column_stack([cells.w, cells.fold]).astype(np.uint32)
    keys = keys_of(np.full(size, seed, np.uint64), cells.features, who, e)
    if cells.binary:
        with_event = Halves.of(cells.events, keys)
        without = Halves.of(cells.n - cells.events, ~keys)

        def draw(tree: int) -> tuple[Doubles, Doubles]:
            events = with_event.draw(tree)
            return sums.of_users(events + without.draw(tree), events)

        return draw

    everybody, mean = Halves.of(cells.n, keys), cells.y_mean

    def draw_means(tree: int) -> tuple[Doubles, Doubles]:
        n = everybody.draw(tree)
        return sums.of_users(n, mean * n)

    return draw_means
