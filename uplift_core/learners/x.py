"""X-learner: impute each user's effect by the other arm's model (Künzel et al. 2019, section 3)."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import Rows
from uplift_core.boosting.tree_shap import shapley_values
from uplift_core.cells import Cells, merge
from uplift_core.learner_names import LearnerName
from uplift_core.learners.base import Term, _Base
from uplift_core.learners.nuisance import Fitter, Nuisances, predict_at


class XLearner(_Base):
    """tau(x) = e * tau0(x) + (1 - e) * tau1(x) (equation 9 with g(x) = e).

    tau1 regresses D1 = Y - mu0(x) on the treated, tau0 regresses D0 = mu1(x) - Y on the controls.
    Each imputation comes from the arm model that has not seen the user. The weights look crossed
    but are not: where nearly everybody is treated (e near 1), mu1 is the good model, and tau0 is
    the effect that was imputed with it.

    Where e differs between users, all regressions weigh them, see ``Cells.balanced_n``, and e is its
    mean over all users, for every prediction: the weight is a choice between two estimates of the same
    effect, which is right at any value in [0, 1], and a user to be scored was not assigned, so has no e.
    """

    name: ClassVar[LearnerName] = "x"

    @classmethod
    def fit(cls, cells: Cells, nuisances: Nuisances, fitter: Fitter) -> Self:
        """Impute both arms' effects and regress each on the features."""
        e, n = cells.propensity, cells.balanced_n
        treated, control = cells.w == 1, cells.w == 0
        d1 = cells.y_mean[treated] - predict_at(nuisances.mu0, cells.x, cells.cell[treated])
        d0 = predict_at(nuisances.mu1, cells.x, cells.cell[control]) - cells.y_mean[control]
        on_treated = merge(cells.x, cells.cell[treated], d1, n[treated])
        on_control = merge(cells.x, cells.cell[control], d0, n[control])
        return cls(
            {
                "tau1": fitter.effect_model(on_treated, weight_per_user=e),
                "tau0": fitter.effect_model(on_control, weight_per_user=1 - e),
            },
            e,
        )

    def predict_rows(self, rows: Rows) -> Floats:
        """Predict the CATE of each row of raw features: (n,) float32."""
        e = np.float32(self.propensity)
        tau0 = rows.predict(self.boosters["tau0"])
        tau1 = rows.predict(self.boosters["tau1"])
        return e * tau0 + (np.float32(1) - e) * tau1

    def terms(self) -> list[Term]:
        """Return the terms that add up to the CATE, which ``predict`` computes in float32."""
        e = float(np.float32(self.propensity))
        return [Term(e, self.boosters["tau0"]), Term(1 - e, self.boosters["tau1"])]

    def contributions(self, x: Floats) -> Doubles:
        """Compute what each feature adds to each CATE, and the bias: (n, n_features + 1) float64."""
        e = np.float32(self.propensity)
        tau0 = shapley_values(self.boosters["tau0"], x)
        tau1 = shapley_values(self.boosters["tau1"], x)
        return e * tau0 + (np.float32(1) - e) * tau1
