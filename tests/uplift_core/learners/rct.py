"""A small marketing RCT as cells, for the tests of the learners."""

from dataclasses import dataclass

import numpy as np

from uplift_core.boosting.parameters import BoostingParameters, LearnerParameters
from uplift_core.cells import BinEdges, Cells, UserRows, cells_of_rows
from uplift_core.simulation.rct import Simulated, marketing_rct

SMALL = BoostingParameters(rounds=20, max_depth=3, learning_rate=0.2, min_leaf_events=5, reg_lambda=0)
PARAMETERS = LearnerParameters(outcome=SMALL, effect=SMALL)


@dataclass(frozen=True)
class Rct:
    """Users, their folds and the bins of their features."""

    users: Simulated
    x: np.ndarray
    fold: np.ndarray
    edges: BinEdges
    propensity: float

    def cells(self, rows=slice(None), **changed) -> Cells:
        """Cells of the users of ``rows``; ``changed`` replaces w, y, x or propensity."""
        values = {"x": self.x, "w": self.users.w, "y": self.users.y, "fold": self.fold} | changed
        propensity = values.pop("propensity", self.propensity)
        binary = bool(np.isin(values["y"], (0, 1)).all())
        chosen = {name: np.asarray(value)[rows] for name, value in values.items()}
        return cells_of_rows(self.edges, UserRows(**chosen, propensity=propensity, binary=binary))

    def one_cell_a_user(self) -> Cells:
        """Every user as a cell."""
        y = self.users.y
        return Cells(
            x=self.edges.bin(self.x),
            cell=np.arange(len(y)),
            w=self.users.w.astype(np.int8),
            fold=self.fold.astype(np.int8),
            n=np.ones(len(y)),
            y_sum=y,
            events=y,
            propensity=self.propensity,
            binary=True,
        )


def make_rct(n=4000, propensity=0.5, seed=1, max_bins=16, missing=0.0) -> Rct:
    """Users with coarse bins, so that cells hold several users."""
    users = next(marketing_rct(n, seed, treated_share=propensity))
    x = users.x[:, :4].astype(np.float32).round(0)
    rng = np.random.default_rng(seed)
    x[rng.random(x.shape) < missing] = np.nan
    edges = BinEdges.of([f"x{i}" for i in range(4)], x, max_bins)
    return Rct(users, x, rng.integers(0, 3, n), edges, propensity)
