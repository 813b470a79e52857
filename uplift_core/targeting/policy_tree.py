"""Find the best rule that a person can read: a tree of at most three questions about the features.

A policy tree treats the users of some of its leaves (Athey & Wager 2021, "Policy learning with
observational data"). Of all trees of a depth it is the one with the largest sum of the doubly robust
scores phi over the users whom it treats, for a price of treating a user, or for a budget. The search is
exhaustive (Sverdrup, Kanodia, Zhou, Athey & Wager 2020, "policytree"), but over sums of phi by bins of
one, two and three features instead of over users, so its time hardly depends on their number. Before it,
neighbouring bins are merged to at most 256, 64 or 32 of a feature (by depth), and of more than 40 or 16
features those are kept that tell most alone; among all trees that are left it is exact.

With a price, every user who is treated costs it, and a tree's reward is the sum of ``phi - price``. A
budget is met by the price at which it is spent: the reward of the best tree is convex in the price, so
the price is where the lines of two best trees cross (Lagrange duality). Of the tree that is chosen, a
leaf that the budget cuts is treated in part, by chance. ``PolicyTree.shortfall`` bounds what another
tree of this depth could gain beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Floats
from uplift_core.errors import DataError
from uplift_core.targeting.tree_search import MOST_BINS, GrownTree, ScoredCells, Shape, TreeSearch

MOST_PRICES = 60


@dataclass(frozen=True)
class Leaf:
    """Users whom a rule treats alike.

    Attributes:
        effect: their mean phi, on the users that the rule was learned from.
        share: their share of all users.
        treated: the share of them to treat: 1, 0, or in between where the budget ends.
    """

    effect: float
    share: float
    treated: float


@dataclass(frozen=True)
class Split:
    """A question: is the feature below a value? Users whose feature is missing go below.

    Attributes:
        feature: name of the feature.
        position: the feature's number, from 0.
        value: users below it go to ``below``, the others to ``above``; an edge of a bin.
        with_missing: whether the feature of some users that the rule was learned from is missing.
        below: what is asked or decided next.
        above: the same for the other users.
    """

    feature: str
    position: int
    value: float
    with_missing: bool
    below: Node
    above: Node


Node = Leaf | Split


@dataclass(frozen=True)
class Condition:
    """One side of a split: ``feature < value`` (or missing), or ``feature >= value``."""

    feature: str
    position: int
    value: float
    with_missing: bool
    below: bool


@dataclass(frozen=True)
class PolicyTree:
    """A rule, and what is known about it from the users that it was learned from.

    Attributes:
        root: the first question, or the one leaf.
        depth: the largest number of questions that was allowed.
        price: the price of treating a user, in units of phi, at which this tree is a best one.
        gain: sum of phi over treated users, per user of all users; on the users that it was learned
            from, so it is larger than on others.
        shortfall: no tree of this depth has a gain that is larger by more than this.
    """

    root: Node
    depth: int
    price: float
    gain: float
    shortfall: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON's types; a split at missing values has no value."""
        return {**asdict(self), "root": _to_dict(self.root)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Invert ``to_dict``."""
        return cls(**{**data, "root": _from_dict(data["root"])})

    def leaves(self) -> Iterator[tuple[tuple[Condition, ...], Leaf]]:
        """Yield each leaf with its conditions, from left to right."""
        return _leaves(self.root, ())

    def leaf_of(self, x: Floats) -> npt.NDArray[np.int64]:
        """Return the number of the leaf of each row, in the order of ``leaves``.

        Args:
            x: (n, n_features) features, raw or binned; NaN is missing.
        """
        number = np.zeros(len(x), dtype=np.int64)
        for place, (conditions, _) in enumerate(self.leaves()):
            inside = np.ones(len(x), dtype=bool)
            for condition in conditions:
                above = x[:, condition.position] >= np.float32(condition.value)
                inside &= ~above if condition.below else above
            number[inside] = place
        return number


def _to_dict(node: Node) -> dict[str, Any]:
    if isinstance(node, Leaf):
        return asdict(node)
    return {
        "feature": node.feature,
        "position": node.position,
        "value": node.value if math.isfinite(node.value) else None,
        "with_missing": node.with_missing,
        "below": _to_dict(node.below),
        "above": _to_dict(node.above),
    }


def _from_dict(data: Mapping[str, Any]) -> Node:
    if "feature" not in data:
        return Leaf(**data)
    value = -math.inf if data["value"] is None else data["value"]
    children = {side: _from_dict(data[side]) for side in ("below", "above")}
    return Split(**{**data, "value": value, **children})


def _leaves(node: Node, path: tuple[Condition, ...]) -> Iterator[tuple[tuple[Condition, ...], Leaf]]:
    if isinstance(node, Leaf):
        yield path, node
        return
    for below, child in ((True, node.below), (False, node.above)):
        question = node.feature, node.position, node.value, node.with_missing
        yield from _leaves(child, (*path, Condition(*question, below)))


def policy_tree(
    cells: ScoredCells, depth: int, *, budget: float | None = None, price: float = 0.0
) -> PolicyTree:
    """Find the best rule of a depth: for a budget that is spent, or for a price of each treatment.

    Args:
        cells: users.
        depth: largest number of questions until a decision: 1, 2 or 3.
        budget: share of users to treat; None: as many as are worth the price.
        price: without a budget, what treating a user costs, in units of phi.

    Raises:
        DataError: the depth or the budget is out of range, or there are no users.
    """
    if depth not in MOST_BINS:
        raise DataError(f"depth = {depth}: a rule has 1 to {max(MOST_BINS)} questions")
    if budget is not None and not 0 < budget < 1:
        raise DataError(f"budget = {budget}: a rule needs a share between 0 and 1, both excluded")
    if not cells.n.sum() > 0:
        raise DataError("there are no users to learn a rule from")
    search = TreeSearch.of(cells, depth)
    if budget is None:
        chosen = search.best(price)
        return _named(search, chosen, price, dict.fromkeys(chosen.worth, 1.0), 0.0)
    return _within(search, budget)


def _within(search: TreeSearch, budget: float) -> PolicyTree:
    """Find the price at which the budget is spent, by the crossing of two trees' lines."""
    users = budget * search.n.sum()
    # Of the trees at a price so high that nobody is treated, and so low that everybody is.
    few, many = (0.0, 0.0), (float(search.n.sum()), float(search.phi.sum()))
    candidates = []
    for _ in range(MOST_PRICES):
        price = (many[1] - few[1]) / (many[0] - few[0])
        reward = few[1] - price * few[0]
        best = search.best(price)
        candidates.append(best)
        if best.reward <= reward + search.tolerance or best.size in {few[0], many[0]}:
            break
        if best.size <= users:
            few = best.size, best.gain
        else:
            many = best.size, best.gain
    bound = best.reward + price * users
    filled = [(tree, *tree.filled(users)) for tree in candidates]
    chosen, gain, treated = max(filled, key=lambda each: each[1])
    shortfall = max(bound - gain, 0.0) / float(search.n.sum())
    return _named(search, chosen, price, treated, shortfall)


def _named(
    search: TreeSearch, grown: GrownTree, price: float, treated: Mapping[int, float], shortfall: float
) -> PolicyTree:
    """Name features and values, and say what each leaf gets."""
    total = float(search.n.sum())
    numbers = iter(range(len(grown.n)))

    def named(shape: Shape) -> Node:
        if shape is None:
            i = next(numbers)
            return Leaf(grown.phi[i] / grown.n[i], grown.n[i] / total, treated.get(i, 0.0))
        feature, code, below, above = shape
        # Missing values come before all others: the first place asks whether the value is missing.
        value = float(search.edges[feature][code]) if code else -math.inf
        name, position = search.names[feature], search.positions[feature]
        with_missing = bool(np.any(search.codes[:, feature] == 0))
        return Split(name, position, value, with_missing, named(below), named(above))

    gain = sum(share * grown.phi[i] for i, share in treated.items()) / total
    return PolicyTree(named(grown.shape), search.depth, price, float(gain), float(shortfall))
