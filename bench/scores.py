"""Judge causalml's and econml's scores of Hillstrom's e-mail, and compare figures with scikit-uplift's.

    python -m bench.scores --data FOLDER [--seed 1]

Half of the customers of the women's e-mail and of no e-mail train each model, called as its
documentation shows; ``uplift_core.evaluate`` judges all of them on the other half, on which
scikit-uplift computes Qini and uplift at 30 %. The gate's words take into account that the best of five
rankings looks better than it is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.csv as pc
from causalml.inference.meta import BaseTRegressor, BaseXRegressor
from econml.dml import CausalForestDML
from econml.metalearners import TLearner
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression
from sklift.metrics import qini_auc_score, uplift_at_k
from xgboost import XGBClassifier, XGBRegressor

import uplift_core as uplift

Numbers = npt.NDArray[np.float64]
FEATURES = ("recency", "history", "mens", "womens", "newbie")
SHALLOW = {"n_estimators": 100, "max_depth": 3, "learning_rate": 0.05}
EQUAL = 1e-12
HALF = 0.5


def main() -> int:
    """Print the figures. Return the exit code: 1 if one is not scikit-uplift's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    x, y, w = read(chosen.data)
    train = np.random.default_rng(chosen.seed).random(len(y)) < HALF
    rest = ~train
    scores = {name: fit(x[train], y[train], w[train], x[rest]) for name, fit in MODELS.items()}
    control = train & (w == 0)
    response = XGBClassifier(**SHALLOW).fit(x[control], y[control]).predict_proba(x[rest])[:, 1]
    judged = uplift.evaluate(y[rest], w[rest], scores, e=0.5, budget=0.3, mu0=response)
    print(judged)
    apart: dict[str, list[float]] = {"qini_auc": [], "uplift_at_30": []}
    for name, score in scores.items():
        columns = y[rest], score, w[rest]
        theirs = {
            "qini_auc": qini_auc_score(*columns),
            "uplift_at_30": uplift_at_k(*columns, strategy="overall", k=0.3),
        }
        for metric, value in theirs.items():
            apart[metric].append(abs(judged.figure(name, metric).value - value))
    print(f"{judged.n} users; largest differences from scikit-uplift's figures:")
    print(f"  qini_auc      {max(apart['qini_auc']):.1g}")
    print(
        f"  uplift_at_30  {max(apart['uplift_at_30']):.1g}: it rounds the number of users down, and "
        "of equal scores at the cut takes the first rows"
    )
    return int(max(apart["qini_auc"]) > EQUAL)


def read(folder: Path) -> tuple[Numbers, Numbers, npt.NDArray[np.int64]]:
    """Read features, visits and arm of the customers of one e-mail and none."""
    (file,) = folder.glob("Kevin_Hillstrom*.csv")
    users = pc.read_csv(file).to_pandas()
    users = users[users["segment"] != "Mens E-Mail"]
    w = (users["segment"] == "Womens E-Mail").to_numpy().astype(np.int64)
    return users[list(FEATURES)].to_numpy(dtype=float), users["visit"].to_numpy(dtype=float), w


def causalml_t(x: Numbers, y: Numbers, w: Numbers, new: Numbers) -> Numbers:
    """Causalml's T-learner on XGBoost."""
    model = BaseTRegressor(XGBRegressor(**SHALLOW))
    model.fit(x, w, y)
    return np.asarray(model.predict(new)).ravel()


def causalml_x(x: Numbers, y: Numbers, w: Numbers, new: Numbers) -> Numbers:
    """Causalml's X-learner on XGBoost, with the designed propensity."""
    model = BaseXRegressor(XGBRegressor(**SHALLOW))
    model.fit(x, w, y, p=np.full(len(y), 0.5))
    return np.asarray(model.predict(new, p=np.full(len(new), 0.5))).ravel()


def econml_t(x: Numbers, y: Numbers, w: Numbers, new: Numbers) -> Numbers:
    """Econml's T-learner on linear regressions."""
    return np.asarray(TLearner(models=LinearRegression()).fit(y, w, X=x).effect(new)).ravel()


def econml_forest(x: Numbers, y: Numbers, w: Numbers, new: Numbers) -> Numbers:
    """Econml's causal forest."""
    forest = CausalForestDML(
        model_y=XGBRegressor(**SHALLOW),
        model_t=DummyClassifier(),
        discrete_treatment=True,
        n_estimators=500,
        min_samples_leaf=100,
        random_state=1,
    )
    return np.asarray(forest.fit(y, w, X=x).effect(new)).ravel()


MODELS: dict[str, Callable[..., Numbers]] = {
    "causalml T": causalml_t,
    "causalml X": causalml_x,
    "econml T": econml_t,
    "econml forest": econml_forest,
    "past spend": lambda x, y, w, new: new[:, 1],  # noqa: ARG005 - a rule of thumb learns nothing
}


if __name__ == "__main__":
    sys.exit(main())
