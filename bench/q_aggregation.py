"""Q-aggregation: weights of several effect models that add up to 1, chosen by a loss on other users.

A quadratic loss of the weighted mean alone chases noise; the mean of the models' losses alone chooses a
single one. Q-aggregation minimises a mixture of both (Dai, Rigollet & Zhang 2012; for effects Lan &
Syrgkanis 2024), here with the Kullback-Leibler divergence from equal weights as its prior.
"""

from __future__ import annotations

import numpy as np

from uplift_core.arrays import Doubles

MIXTURE = 0.5  # nu: the share of the models' own losses
STEPS = 2_000
SMALL = 1e-12


def q_weights(predicted: Doubles, label: Doubles, weight: Doubles, *, users: float) -> Doubles:
    """Return the weights of models that minimise the penalised loss: (n_models,), which add up to 1.

    The penalty is the divergence from equal weights times the loss of their mean per user: data that
    say nothing leave the weights equal.

    Args:
        predicted: (n, n_models) effects, by models that trained on other users.
        label: (n,) pseudo-outcomes of a squared loss: of the R-loss or the doubly robust one.
        weight: (n,) weights of the loss.
        users: number of users that the rows stand for.
    """
    models = predicted.shape[1]
    total = weight.sum()
    gram = predicted.T @ (weight[:, None] * predicted) / total
    cross = predicted.T @ (weight * label) / total
    own = np.diag(gram) - 2 * cross
    equal = np.full(models, 1 / models)
    noise = float(weight @ (label - predicted @ equal) ** 2 / total)
    penalty = noise / users
    theta = equal.copy()
    # Exponentiated gradient (Kivinen & Warmuth 1997) with a step that the loss' curvature allows.
    step = 1 / (2 * (1 - MIXTURE) * float(np.abs(gram).max()) + penalty + SMALL)
    for _ in range(STEPS):
        slope = 2 * (1 - MIXTURE) * (gram @ theta - cross) + MIXTURE * own
        slope += penalty * np.log(np.maximum(theta, SMALL) * models)
        moved = theta * np.exp(-step * (slope - slope.min()))
        theta = moved / moved.sum()
    return theta
