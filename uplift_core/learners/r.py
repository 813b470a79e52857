"""R-learner: regress the outcome's residual on the treatment's residual (Nie & Wager 2021)."""

from __future__ import annotations

from typing import ClassVar, Self

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import Rows
from uplift_core.boosting.tree_shap import shapley_values
from uplift_core.cells import Cells, merge
from uplift_core.learner_names import LearnerName
from uplift_core.learners.base import Term, _Base
from uplift_core.learners.nuisance import Fitter, Nuisances


class RLearner(_Base):
    """tau minimises the R-loss, sum of ((Y - m(x)) - (W - e) * tau(x))**2 (equation 4).

    It is fitted as a weighted regression of the pseudo-outcome (Y - m) / (W - e) with weight (W - e)**2.
    m is cross-fitted; e is the design's, and each user's own where it differs between users. There is no
    propensity weight besides this weight.
    """

    name: ClassVar[LearnerName] = "r"

    @classmethod
    def fit(cls, cells: Cells, nuisances: Nuisances, fitter: Fitter) -> Self:
        """Regress the residual ratio on the features."""
        label, weight = r_pseudo_outcome(cells, nuisances)
        data = merge(cells.x, cells.cell, label, weight)
        tau = fitter.effect_model(data, weight_per_user=cells.mean_overlap)
        return cls({"tau": tau}, cells.propensity)

    def predict_rows(self, rows: Rows) -> Floats:
        """Predict the CATE of each row of raw features: (n,) float32."""
        return rows.predict(self.boosters["tau"])

    def terms(self) -> list[Term]:
        """Return the terms that add up to the CATE, which ``predict`` computes in float32."""
        return [Term(1.0, self.boosters["tau"])]

    def contributions(self, x: Floats) -> Doubles:
        """Compute what each feature adds to each CATE, and the bias: (n, n_features + 1) float64."""
        return shapley_values(self.boosters["tau"], x)


def r_pseudo_outcome(cells: Cells, nuisances: Nuisances) -> tuple[Doubles, Doubles]:
    """Compute label (Y - m) / (W - e) and weight n * (W - e)**2 of each cell, both (n_cells,)."""
    w_residual = cells.w - cells.e
    return (cells.y_mean - nuisances.m_oof) / w_residual, cells.n * w_residual**2
