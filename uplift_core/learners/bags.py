"""Bags: one learner, fitted on several bootstrap samples of users (Breiman 1996).

Their mean is smoother than one fit, and how far they differ says how far a user's effect would move if
other users had been in the experiment. Users are drawn with replacement, each arm's by itself, as many
as there are; of a cell only the numbers of its users with and without an event are drawn. Nothing is
lost by it for a binary outcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import xgboost

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import Rows
from uplift_core.cells import Cells
from uplift_core.learner_names import LearnerName
from uplift_core.learners.base import Learner, Term


class BaggedLearner:
    """The mean of one learner's fits on bootstrap samples of users; there are two or more.

    The bags of a stack are stacks: all of its members are fitted anew on each sample.
    """

    def __init__(self, bags: Sequence[Learner]) -> None:
        self.bags = tuple(bags)
        self.name: LearnerName = bags[0].name
        self.propensity = bags[0].propensity
        self.boosters: Mapping[str, xgboost.Booster] = {
            f"{bag_mark(number)}{role}": booster
            for number, bag in enumerate(self.bags)
            for role, booster in bag.boosters.items()
        }

    def predict(self, x: Floats) -> Floats:
        """Predict the CATE of each row of raw features ``x`` (n, n_features) float32: (n,) float32."""
        return self.predict_rows(Rows(x))

    def predict_rows(self, rows: Rows) -> Floats:
        """Predict as ``predict`` does, from rows that other boosters predict, too: (n,) float32."""
        return self.predict_with_error(rows)[0]

    def predict_with_error(self, rows: Rows) -> tuple[Floats, Floats]:
        """Predict the CATE and its standard error from sample to sample: (n,) float32 each.

        With ``s`` the standard deviation over B bags it is ``s sqrt(1 + 1 / B)``. ``s`` estimates the
        standard error of *one* fit, which that of a mean of infinitely many does not exceed (Efron
        2014, section 3); ``s² / B`` is what a mean of only B adds.
        """
        predicted = [bag.predict_rows(rows) for bag in self.bags]
        bags = len(predicted)
        # One after the other, so that one row and many give equal results.
        mean = _sum(predicted) / np.float32(bags)
        squares = _sum([(values - mean) ** 2 for values in predicted])
        scale = np.float32((1 + 1 / bags) / (bags - 1))
        return mean, np.sqrt(squares * scale)

    def terms(self) -> list[Term]:
        """Return the terms that add up to the CATE, which ``predict`` computes in float32."""
        return [term.times(1 / len(self.bags)) for bag in self.bags for term in bag.terms()]

    def contributions(self, x: Floats) -> Doubles:
        """Compute what each feature adds to each CATE, and the bias: (n, n_features + 1) float64."""
        total = np.zeros((len(x), x.shape[1] + 1))
        for bag in self.bags:
            total += bag.contributions(x)
        return total / len(self.bags)


def bag_mark(number: int) -> str:
    """Return what the roles of a bag's boosters begin with."""
    return f"bag{number}_"


def _sum(parts: Sequence[Floats]) -> Floats:
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def bootstrap(cells: Cells, seed: int, number: int) -> tuple[Cells, npt.NDArray[np.int64]]:
    """Draw as many users as there are, with replacement, from each arm.

    The numbers of users with and without an event are multinomial over cells, exactly as if users were
    drawn one by one. So is the sum of outcomes if all are 0 or 1, and wherever a cell has at most one
    user with an event. Elsewhere the events drawn from a cell add up to a normal number with the mean
    and the variance of such draws. The control's draw is the same beside each treatment.

    Args:
        cells: cells of users who count once each: their numbers are whole.
        seed: seed of all bags.
        number: number of the bag.

    Returns:
        The cells that were drawn, and the numbers of these cells.
    """
    drawn = np.zeros(len(cells.n))
    events = np.zeros(len(cells.n))
    noise = np.zeros(len(cells.n))
    for w in (0, 1):
        rows = np.flatnonzero(cells.w == w)
        counts = np.concatenate([cells.events[rows], cells.n[rows] - cells.events[rows]])
        users = int(counts.sum())
        rng = np.random.default_rng([seed, number, w, users])
        of_part = rng.multinomial(users, counts / counts.sum())
        events[rows], without = np.split(of_part, 2)
        drawn[rows] = events[rows] + without
        if not cells.binary:
            noise[rows] = rng.standard_normal(len(rows))
    y_sum = events if cells.binary else _outcomes(cells, events, noise)
    kept = np.flatnonzero(drawn)
    new = {"n": drawn[kept], "events": events[kept], "y_sum": y_sum[kept]}
    return replace(cells.at(kept, **new), squares=None), kept


def _outcomes(cells: Cells, events: Doubles, noise: Doubles) -> Doubles:
    """Return the sum of the outcomes of drawn users with an event, (n_cells,); see ``bootstrap``."""
    among = np.maximum(cells.events, 1)
    mean = cells.y_sum / among
    if cells.squares is None:
        return np.asarray(events * mean, dtype=np.float64)
    variance = np.where(cells.events > 1, np.maximum(cells.squares / among - mean**2, 0), 0)
    return np.asarray(events * mean + np.sqrt(events * variance) * noise, dtype=np.float64)
