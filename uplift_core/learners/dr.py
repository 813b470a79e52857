"""DR-learner: regress the doubly robust score (Kennedy 2023)."""

from __future__ import annotations

from typing import ClassVar, Self

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import Rows
from uplift_core.boosting.tree_shap import shapley_values
from uplift_core.cells import Cells, merge
from uplift_core.learner_names import LearnerName
from uplift_core.learners.base import Term, _Base
from uplift_core.learners.nuisance import Fitter, Nuisances


class DRLearner(_Base):
    """tau regresses phi = mu1 - mu0 + W (Y - mu1) / e - (1 - W) (Y - mu0) / (1 - e) on x.

    mu0 and mu1 are cross-fitted; e is the design's (Algorithm 1, equation 2), and each user's own where
    it differs between users.
    """

    name: ClassVar[LearnerName] = "dr"

    @classmethod
    def fit(cls, cells: Cells, nuisances: Nuisances, fitter: Fitter) -> Self:
        """Regress phi on the features."""
        data = merge(cells.x, cells.cell, dr_pseudo_outcome(cells, nuisances), cells.n)
        return cls({"tau": fitter.effect_model(data, weight_per_user=1.0)}, cells.propensity)

    def predict_rows(self, rows: Rows) -> Floats:
        """Predict the CATE of each row of raw features: (n,) float32."""
        return rows.predict(self.boosters["tau"])

    def terms(self) -> list[Term]:
        """Return the terms that add up to the CATE, which ``predict`` computes in float32."""
        return [Term(1.0, self.boosters["tau"])]

    def contributions(self, x: Floats) -> Doubles:
        """Compute what each feature adds to each CATE, and the bias: (n, n_features + 1) float64."""
        return shapley_values(self.boosters["tau"], x)


def dr_pseudo_outcome(cells: Cells, nuisances: Nuisances) -> Doubles:
    """Compute phi of each cell: (n_cells,)."""
    e, y = cells.e, cells.y_mean
    mu0, mu1 = nuisances.mu0_oof, nuisances.mu1_oof
    return mu1 - mu0 + cells.w * (y - mu1) / e - (1 - cells.w) * (y - mu0) / (1 - e)
