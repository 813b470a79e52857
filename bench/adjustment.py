"""Tell by how much the response model narrows intervals of realised effects, on Hillstrom's users.

    python -m bench.adjustment

One half of the users of the women's e-mail and of the control trains outcome models. The other half is a
measured list: who got the e-mail is treated, who did not is the holdout group. The interval of the
difference in visits is computed with and without the models' predictions under control, as
``decisions.realised_over_time`` does, and compared over random halves.
"""

from __future__ import annotations

import argparse

import numpy as np

from bench.hillstrom_splits import Users, read_users
from uplift_core.boosting.booster import predict_booster
from uplift_core.evaluation.over_time import AddedOutcomes, Squares
from uplift_core.library.estimators import TLearner


def main() -> None:
    """Print the ratio of standard errors and what it is worth in users."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--halves", type=int, default=10)
    chosen = parser.parse_args()
    users = read_users()
    ratios = np.array([ratio(users, seed) for seed in range(chosen.halves)])
    spread = ratios.std(ddof=1) / np.sqrt(len(ratios))
    worth = 1 / ratios.mean() ** 2 - 1
    print(f"standard error with the models / without: {ratios.mean():.4f} ± {spread:.4f} (over halves)")
    print(f"as {worth:.1%} more users would")


def ratio(users: Users, seed: int) -> float:
    """Return the standard error with the models over that without, on one random half."""
    order = np.random.default_rng(seed).permutation(len(users.y))
    train, listed = (users.take(half) for half in np.array_split(order, 2))
    models = TLearner(n_jobs=1).fit(train.x, train.y, train.w, e=train.propensity)
    expected = predict_booster(models.learner_.boosters["mu0"], listed.x).astype(float)
    influence = {"y": _influence(listed.y, listed.w), "expected": _influence(expected, listed.w)}
    y, e = influence["y"], influence["expected"]
    squares = Squares(float(y @ y), float(y @ e), float(e @ e))
    added = AddedOutcomes(int(listed.w.sum()), 0.0, 0.0, by_unit=squares, by_night=squares)
    return added.adjusted.std_error / added.unadjusted.std_error


def _influence(values: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return each user's influence on what the treated have above the holdout group: (n,)."""
    treated = w == 1
    weight, result = treated.sum(), np.zeros(len(values))
    for side, sign in ((treated, 1), (~treated, -1)):
        n = side.sum()
        result[side] = sign * weight * (values[side] - values[side].mean()) / np.sqrt(n * (n - 1))
    return result


if __name__ == "__main__":
    main()
