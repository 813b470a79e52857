"""S-learner: one outcome model that knows the arm (Künzel et al. 2019, section 2)."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import xgboost

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import Rows
from uplift_core.boosting.tree_shap import fix_feature, shapley_values
from uplift_core.cells import Cells, Regression, add_up
from uplift_core.learner_names import LearnerName
from uplift_core.learners.base import Term, _Base
from uplift_core.learners.nuisance import Fitter, Nuisances


class SLearner(_Base):
    """tau(x) = f(x, 1) - f(x, 0), where f(x, w) = E[Y | x, W = w] is one model.

    The arm is the last feature. Where e differs between users, they are weighted, see
    ``Cells.balanced_n``.
    """

    name: ClassVar[LearnerName] = "s"

    @classmethod
    def fit(cls, cells: Cells, nuisances: Nuisances, fitter: Fitter) -> Self:  # noqa: ARG003
        """Fit f on all cells, with the arm as a feature."""
        key = cells.cell + cells.w.astype(np.int64) * len(cells.x)
        keys, label, weight = add_up(key, cells.y_mean, cells.balanced_n)
        w, cell = np.divmod(keys, len(cells.x))
        data = Regression(_with_arm(cells.x[cell], w), label, weight)
        f = fitter.outcome_model(data, users_share=1.0, grown=fitter.parameters.s)
        return cls({"f": f}, cells.propensity)

    def predict_rows(self, rows: Rows) -> Floats:
        """Predict the CATE of each row of raw features: (n,) float32."""
        both = np.vstack([_with_arm(rows.x, 1), _with_arm(rows.x, 0)])  # one call costs less than two
        treated, control = np.split(Rows(both, rows.trees).predict(self.boosters["f"]), 2)
        return treated - control

    def terms(self) -> list[Term]:
        """Return the terms that add up to the CATE, which ``predict`` computes in float32."""
        return [Term(1.0, self.boosters["f"], arm=1), Term(-1.0, self.boosters["f"], arm=0)]

    def contributions(self, x: Floats) -> Doubles:
        """Compute what each feature adds to each CATE, and the bias: (n, n_features + 1) float64.

        These are the contributions to f(x, 1) less those to f(x, 0), with the arm fixed. TreeSHAP of f
        with the arm as a feature would credit the arm with a part of every effect that differs between
        users.
        """
        treated, control = (shapley_values(f, _with_arm(x, w)) for w, f in self._by_arm)
        return np.delete(treated - control, -2, axis=1)  # without the arm's column, which is 0

    @cached_property
    def _by_arm(self) -> tuple[tuple[int, xgboost.Booster], ...]:
        f = self.boosters["f"]
        return tuple((w, fix_feature(f, f.num_features() - 1, w)) for w in (1, 0))


def _with_arm(x: Floats, w: npt.ArrayLike) -> Floats:
    arm = np.broadcast_to(np.asarray(w, dtype=np.float32), len(x))
    return np.column_stack([x, arm])
