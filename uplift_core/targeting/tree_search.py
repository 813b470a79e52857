"""Search all trees of at most three questions, over sums of users by the bins of one to three features.

The first question of the best tree follows from the sums over all users. Below it the search begins anew
with the users on its side, with one question less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles, Floats
from uplift_core.cells import BinEdges

MOST_BINS = {1: 256, 2: 64, 3: 32}  # of a feature, by depth
MOST_FEATURES = {1: 10_000, 2: 40, 3: 16}  # that a rule may ask about, by depth
MOST_SUMS = 4e7  # sums of three features that are kept, about 600 MB
TINY = 1e-9  # of the sum of |phi|; a smaller gain is rounding

Codes = npt.NDArray[np.int16]  # numbers of bins, of which a feature has 257 at most
Rows = npt.NDArray[np.int64]
BinSums = Mapping[tuple[int, ...], tuple[Doubles, Doubles]]  # features -> sums of n and of phi by bins
FEWEST_BINS = 2


@dataclass(frozen=True)
class ScoredCells:
    """Users by binned features, with the sums of their doubly robust scores.

    Attributes:
        edges: lower edges of the features' bins.
        x: (n_cells, n_features) float32 lower edges of the users' bins; NaN is missing.
        n: (n_cells,) number of users.
        phi: (n_cells,) sum of phi; predictions in it must not have seen the user.
    """

    edges: BinEdges
    x: Floats
    n: Doubles
    phi: Doubles


@dataclass(frozen=True)
class GrownTree:
    """A best tree at a price: nested splits (feature, bin, below, above), and its leaves' sums."""

    shape: Shape
    n: tuple[float, ...]
    phi: tuple[float, ...]
    price: float

    @property
    def worth(self) -> list[int]:
        """The leaves that are worth the price."""
        return [
            i for i, (n, phi) in enumerate(zip(self.n, self.phi, strict=True)) if phi > self.price * n
        ]

    @property
    def size(self) -> float:
        """Number of users in leaves that are worth the price."""
        return sum(self.n[i] for i in self.worth)

    @property
    def gain(self) -> float:
        """Sum of phi of these users."""
        return sum(self.phi[i] for i in self.worth)

    @property
    def reward(self) -> float:
        """Sum of ``phi - price`` of these users."""
        return self.gain - self.price * self.size

    def filled(self, users: float) -> tuple[float, dict[int, float]]:
        """Treat ``users`` users, best leaves first; return the sum of phi, and each leaf's share."""
        order = sorted(range(len(self.n)), key=lambda i: -self.phi[i] / self.n[i])
        gain, treated = 0.0, {}
        for i in order:
            share = min(1.0, float(users) / self.n[i])
            if share <= TINY:
                break
            treated[i] = share
            gain += share * self.phi[i]
            users -= share * self.n[i]
        return gain, treated


Shape = tuple[int, int, "Shape", "Shape"] | None  # None: a leaf


@dataclass(frozen=True)
class TreeSearch:
    """Users by coarse bins: number 0 is missing, the others ascend with the feature.

    Attributes:
        edges: lower edges of the bins from number 1 on, by feature.
        names: the features that may be asked about.
        positions: their numbers among all features.
        codes: (n_cells, n_features) numbers of bins.
        n: (n_cells,) number of users.
        phi: (n_cells,) sum of phi.
        depth: of the trees.
        sizes: number of bins of each feature.
        sums: what the searches at all prices share: sums by the bins of as many features as the depth.
    """

    edges: tuple[Floats, ...]
    names: tuple[str, ...]
    positions: tuple[int, ...]
    codes: Codes
    n: Doubles
    phi: Doubles
    depth: int
    sizes: tuple[int, ...]
    sums: BinSums

    @classmethod
    def of(cls, cells: ScoredCells, depth: int) -> TreeSearch:
        """Merge neighbouring bins until each feature has few, of about equally many users."""
        features = _most_telling(cells, MOST_FEATURES[depth])
        most = _most_bins(depth, len(features))
        coarse = np.empty((len(cells.n), len(features)), dtype=np.int16)
        edges = []
        for column, j in enumerate(features):
            edge, fine = cells.edges.edges[j], cells.edges.codes_of(j, cells.x)
            first = _first_bins(_total(fine, cells.n, len(edge) + 1)[:-1], most)
            number = np.searchsorted(first, fine, side="right")
            coarse[:, column] = np.where(fine == len(edge), 0, number)
            edges.append(edge[first])
        sizes = tuple(len(edge) + 1 for edge in edges)
        codes, n, phi = _merge_equal(coarse, cells.n, cells.phi)
        sums = _sums(codes, n, phi, sizes, depth)
        names = tuple(cells.edges.features[j] for j in features)
        return cls(tuple(edges), names, features, codes, n, phi, depth, sizes, sums)

    @property
    def tolerance(self) -> float:
        """A difference of rewards that is rounding."""
        return TINY * float(np.abs(self.phi).sum())

    def best(self, price: float) -> GrownTree:
        """Return the tree with the largest reward at a price."""
        leaves: list[tuple[float, float]] = []
        everybody = np.arange(len(self.n))
        shape = self._grow(everybody, self.depth, price, leaves, self.sums)
        n, phi = zip(*leaves, strict=True)
        return GrownTree(shape, n, phi, price)

    def _grow(
        self,
        rows: Rows,
        depth: int,
        price: float,
        leaves: list[tuple[float, float]],
        sums: BinSums | None = None,
    ) -> Shape:
        """Split rows by the first question of their best tree, and so on; add their leaves."""
        codes, n, phi = self.codes[rows], self.n[rows], self.phi[rows]
        reward = phi - price * n
        alike = max(float(reward.sum()), 0.0)
        if depth and len(rows) > 1:
            known = sums or _sums(codes, n, phi, self.sizes, depth)
            rewards = {key: phi_sums - price * n_sums for key, (n_sums, phi_sums) in known.items()}
            value, feature, code = _best_split(rewards, self.sizes, depth)
            if value > alike + self.tolerance:
                below = codes[:, feature] <= code
                if below.all() or not below.any():  # a question less does as well
                    return self._grow(rows, depth - 1, price, leaves)
                return (
                    feature,
                    code,
                    self._grow(rows[below], depth - 1, price, leaves),
                    self._grow(rows[~below], depth - 1, price, leaves),
                )
        leaves.append((float(n.sum()), float(phi.sum())))
        return None


def _total(place: Rows, column: Doubles, length: int = 0) -> Doubles:
    """Add up a column by place."""
    return np.bincount(place, column, length).astype(np.float64)


def _most_telling(cells: ScoredCells, most: int) -> tuple[int, ...]:
    """Return the features by which one question gains most over treating all users alike."""
    edges = cells.edges.edges
    if len(edges) <= most:
        return tuple(range(len(edges)))
    price = cells.phi.sum() / cells.n.sum()
    reward = cells.phi - price * cells.n
    gains = []
    for j, edge in enumerate(edges):
        by_bin = _total(cells.edges.codes_of(j, cells.x), reward, len(edge) + 1)
        gains.append(float(_best_halves(np.roll(by_bin, 1)).max()))
    return tuple(sorted(np.argsort(-np.asarray(gains), kind="stable")[:most].tolist()))


def _most_bins(depth: int, features: int) -> int:
    """Return how many bins of a feature keep the number of sums within memory."""
    most, groups = MOST_BINS[depth], math.comb(features + depth - 1, depth)
    while most > FEWEST_BINS and groups * (most + 1) ** depth > MOST_SUMS:
        most //= 2
    return most


def _first_bins(users: Doubles, most: int) -> Rows:
    """Return the bins with which groups of neighbouring bins begin: at most ``most`` groups."""
    if len(users) <= most:
        return np.arange(len(users))
    before = np.cumsum(users) - users
    group = np.floor(before / max(users.sum(), 1.0) * most)
    return np.flatnonzero(np.r_[True, np.diff(group) > 0])


def _merge_equal(codes: Codes, n: Doubles, phi: Doubles) -> tuple[Codes, Doubles, Doubles]:
    """Add up the cells of equal bins."""
    merged, place = np.unique(codes, axis=0, return_inverse=True)
    place = place.reshape(-1)
    return merged, _total(place, n), _total(place, phi)


def _sums(codes: Codes, n: Doubles, phi: Doubles, sizes: Sequence[int], depth: int) -> BinSums:
    """Add up users by the bins of every ``depth`` features, a feature with itself among them."""
    sums = {}
    for features in combinations_with_replacement(range(len(sizes)), depth):
        shape = tuple(sizes[j] for j in features)
        key = codes[:, features[0]].astype(np.int64)
        for j in features[1:]:
            key = key * sizes[j] + codes[:, j]
        length = math.prod(shape)
        of_users, of_phi = (_total(key, each, length).reshape(shape) for each in (n, phi))
        sums[features] = of_users, of_phi
    return sums


def _best_split(
    rewards: Mapping[tuple[int, ...], Doubles], sizes: Sequence[int], depth: int
) -> tuple[float, int, int]:
    """Return the best first split: the reward of its tree, the feature, and the last bin below."""
    best = (-math.inf, 0, 0)
    for j, size in enumerate(sizes):
        if size < FEWEST_BINS:
            continue
        if depth == 1:
            values = _best_halves(rewards[j,])
        else:
            below, above = (
                _best_below(rewards, sizes, (j,), above=above, depth=depth - 1)
                for above in (False, True)
            )
            values = below + above
        code = int(np.argmax(values[:-1]))
        if values[code] > best[0]:
            best = float(values[code]), j, code
    return best


def _best_below(
    rewards: Mapping[tuple[int, ...], Doubles],
    sizes: Sequence[int],
    first: tuple[int],
    *,
    above: bool,
    depth: int,
) -> Doubles:
    """Return the reward of the best tree on one side of each split of a feature: (n_bins,)."""
    best = np.full(sizes[first[0]], -math.inf)
    for k in range(len(sizes)):
        if depth == 1:
            side = _side(_with_axes(rewards, (*first, k)), axis=0, above=above)
            best = np.maximum(best, _best_halves(side).max(axis=-1))
            continue
        halves = [np.full((len(best), sizes[k]), -math.inf) for _ in range(2)]
        for m in range(len(sizes)):
            side = _side(_with_axes(rewards, (*first, k, m)), axis=0, above=above)
            for half, further in zip(halves, (False, True), strict=True):
                quarter = _side(side, axis=1, above=further)
                np.maximum(half, _best_halves(quarter).max(axis=-1), out=half)
        best = np.maximum(best, (halves[0] + halves[1]).max(axis=-1))
    return best


def _with_axes(rewards: Mapping[tuple[int, ...], Doubles], features: tuple[int, ...]) -> Doubles:
    """Return the rewards by the bins of features, in this order of axes."""
    order = sorted(range(len(features)), key=lambda place: features[place])
    stored = rewards[tuple(features[place] for place in order)]
    return np.moveaxis(stored, range(len(order)), order)


def _side(rewards: Doubles, *, axis: int, above: bool) -> Doubles:
    """Add up the bins on one side of each split along an axis: up to the bin, or after it."""
    below = np.cumsum(rewards, axis=axis)
    if not above:
        return below
    return np.take(below, [-1], axis=axis) - below


def _best_halves(rewards: Doubles) -> Doubles:
    """Return the reward of treating the better halves of each split along the last axis.

    The last place is no split: all users are below.
    """
    below = np.cumsum(rewards, axis=-1)
    return np.maximum(below, 0.0) + np.maximum(below[..., -1:] - below, 0.0)
