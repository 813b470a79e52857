"""T-learner: one outcome model per arm (Künzel et al. 2019, section 2)."""

from __future__ import annotations

from typing import ClassVar, Self

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import Rows
from uplift_core.boosting.tree_shap import shapley_values
from uplift_core.cells import Cells
from uplift_core.learner_names import LearnerName
from uplift_core.learners.base import MU0, MU1, Term, _Base
from uplift_core.learners.nuisance import Fitter, Nuisances


class TLearner(_Base):
    """tau(x) = mu1(x) - mu0(x).

    Where e differs between users, both are fitted on weighted users, see ``Cells.balanced_n``.
    """

    name: ClassVar[LearnerName] = "t"

    @classmethod
    def fit(cls, cells: Cells, nuisances: Nuisances, fitter: Fitter) -> Self:  # noqa: ARG003
        """Take the two shared arm models; nothing else is fitted."""
        return cls({MU0: nuisances.mu0, MU1: nuisances.mu1}, cells.propensity)

    def predict_rows(self, rows: Rows) -> Floats:
        """Predict the CATE of each row of raw features: (n,) float32."""
        return rows.predict(self.boosters[MU1]) - rows.predict(self.boosters[MU0])

    def terms(self) -> list[Term]:
        """Return the terms that add up to the CATE, which ``predict`` computes in float32."""
        return [Term(1.0, self.boosters[MU1]), Term(-1.0, self.boosters[MU0])]

    def contributions(self, x: Floats) -> Doubles:
        """Compute what each feature adds to each CATE, and the bias: (n, n_features + 1) float64."""
        mu0, mu1 = self.boosters[MU0], self.boosters[MU1]
        return shapley_values(mu1, x) - shapley_values(mu0, x)
