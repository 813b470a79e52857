"""Estimate the effect by segment: one level of a feature, or one fifth of users by a numeric feature.

Each segment is compared with the rest of the users. The two share no user, so their errors are
independent; where users are in clusters, they share clusters, and influences are added up by cluster.
Many segments are compared, and some differ by chance alone: q values (Benjamini & Hochberg 1995) bound
the expected share of false findings among those that are called different.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control, norm

from uplift_core.arrays import Doubles
from uplift_core.evaluation.clusters import Clusters
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.gate import LEAST_EVENTS

MOST_LEVELS = 10  # a feature with more distinct values is cut into fifths
PARTS = 5


@dataclass(frozen=True)
class BinSums:
    """Sums over the users of each bin of one feature; each array is (n_bins,) float64.

    Attributes:
        value: the bins' lower edges, ascending; NaN (missing) comes last.
        n: users.
        phi: sum of the doubly robust score of the effect.
        phi_sq: sum of its square.
        events_treated: users under treatment whose outcome is not 0.
        events_control: users under control whose outcome is not 0.
        clusters: the same users by cluster and bin, with the terms ``one``, ``phi``, ``events_treated``
            and ``events_control``; None if users are independent.
    """

    value: Doubles
    n: Doubles
    phi: Doubles
    phi_sq: Doubles
    events_treated: Doubles
    events_control: Doubles
    clusters: Clusters | None = None

    def added_up(self, place: npt.NDArray[np.int64]) -> Iterator[BinSums]:
        """Yield the sums of each segment, as one bin; bin i belongs to segment ``place[i]``."""
        for segment in range(int(place.max()) + 1):
            inside = place == segment
            sums = {name: np.atleast_1d(getattr(self, name)[inside].sum()) for name in SUMS}
            yield BinSums.of(self.value[inside][:1], sums)

    def less(self, part: BinSums) -> BinSums:
        """Return the sums of all users but those of a part."""
        sums = {name: getattr(self, name).sum() - getattr(part, name) for name in SUMS}
        return BinSums.of(np.full(1, np.nan), sums)

    @classmethod
    def of(cls, value: Doubles, sums: Mapping[str, Doubles]) -> BinSums:
        """Make bins of independent users from their sums by name."""
        n, phi, phi_sq, events_treated, events_control = (sums[name] for name in SUMS)
        return cls(value, n, phi, phi_sq, events_treated, events_control)

    @property
    def effect(self) -> Estimate:
        """Mean effect of all users of the bins."""
        n, mean = float(self.n.sum()), float(self.phi.sum() / self.n.sum())
        variance = max(float(self.phi_sq.sum()) / n - mean**2, 0.0)
        return Estimate(mean, math.sqrt(variance / n))

    @property
    def events(self) -> float:
        """Users whose outcome is not 0, in the arm with fewer of them."""
        return float(min(self.events_treated.sum(), self.events_control.sum()))


SUMS = tuple(f.name for f in fields(BinSums) if f.name not in ("value", "clusters"))


class _ByCluster:
    """Errors and events of the segments of one feature, where users are in clusters."""

    def __init__(self, clusters: Clusters, parts: list[BinSums]) -> None:
        self.clusters = clusters
        self.n, self.phi = (np.array([getattr(p, c)[0] for p in parts]) for c in ("n", "phi"))
        present, _ = clusters.with_any("one")
        self.factor = present / np.maximum(present - 1, 1)
        by_arm = [clusters.with_any(term) for term in ("events_treated", "events_control")]
        self.events = np.min([np.minimum(*inside_and_outside) for inside_and_outside in by_arm], axis=0)

    def effect_error(self, segment: int) -> float:
        """Compute the error of the segment's effect; C is the number of its clusters."""
        weight = (np.arange(len(self.n)) == segment) / self.n[segment]
        squares = self._squares(weight, np.full(len(self.n), self.phi[segment] / self.n[segment]))
        return math.sqrt(self.factor[segment] * squares)

    def difference_error(self, segment: int) -> float:
        """Compute the error of the difference between the segment's effect and that of all others."""
        inside = np.arange(len(self.n)) == segment
        n, phi = self.n[~inside].sum(), self.phi[~inside].sum()
        weight = np.where(inside, 1 / self.n[segment], -1 / n)
        mean = np.where(inside, self.phi[segment] / self.n[segment], phi / n)
        return math.sqrt(self.clusters.factor * self._squares(weight, mean))

    def _squares(self, weight: Doubles, mean: Doubles) -> float:
        """Sum over clusters the squared sum of weight * (phi - mean) over its users."""
        products, of_one = self.clusters.products, -weight * mean
        total = weight @ products("phi", "phi") @ weight + of_one @ products("one", "one") @ of_one
        return max(float(total + 2 * weight @ products("phi", "one") @ of_one), 0.0)


@dataclass(frozen=True)
class Segment:
    """The effect in one segment, compared with that of all other users.

    Attributes:
        feature: name of the feature.
        low: smallest value of the segment; None if the segment is that of missing values.
        high: for a level, the level; else the value at which the next segment begins. None if no
            segment follows, or for missing values.
        is_level: whether all users of the segment have the value ``low``.
        n: users.
        effect: mean effect.
        difference: ``effect`` less that of all other users.
        p_value: two-sided, of no difference. None if the segment or the rest has fewer than 30
            outcomes that are not 0 in an arm, or clusters with one.
        q_value: the smallest share of false findings at which this segment is called different, over
            all segments that were tested together.
    """

    feature: str
    low: float | None
    high: float | None
    is_level: bool
    n: float
    effect: Estimate
    difference: Estimate
    p_value: float | None
    q_value: float | None = None

    @property
    def label(self) -> str:
        """The segment in words: 'missing', '3', '3 to below 7', 'from 7'."""
        if self.low is None:
            return "missing"
        if self.is_level:
            return f"{self.low:.6g}"
        return (
            f"from {self.low:.6g}" if self.high is None else f"{self.low:.6g} to below {self.high:.6g}"
        )


def segments(features: Mapping[str, BinSums]) -> list[Segment]:
    """Estimate the effect in every segment of every feature, and test all of them together.

    Args:
        features: name of the feature -> sums by its bins; the same users for each feature. A feature
            with one segment is left out.
    """
    estimated = [segment for name, bins in features.items() for segment in _of_feature(name, bins)]
    tested = [segment.p_value for segment in estimated if segment.p_value is not None]
    adjusted = iter(false_discovery_control(tested) if tested else ())
    return [
        segment if segment.p_value is None else _with_q(segment, float(next(adjusted)))
        for segment in estimated
    ]


def _with_q(segment: Segment, q_value: float) -> Segment:
    values = {f.name: getattr(segment, f.name) for f in fields(segment)}
    return Segment(**values | {"q_value": q_value})


def _of_feature(name: str, bins: BinSums) -> Iterator[Segment]:
    known = ~np.isnan(bins.value)
    by_level = int(known.sum()) <= MOST_LEVELS
    place = np.arange(len(bins.n)) if by_level else _fifths(bins.n * known)
    place[~known] = place[known].max(initial=-1) + 1
    parts = list(bins.added_up(place))
    if len(parts) == 1:
        return
    by_cluster = bins.clusters and _ByCluster(bins.clusters.merged(place, len(parts)), parts)
    starts = [_known(part.value[0]) for part in parts]
    for i, (part, low, following) in enumerate(zip(parts, starts, [*starts[1:], None], strict=True)):
        rest = bins.less(part)
        effect, events = part.effect, min(part.events, rest.events)
        error = math.hypot(effect.std_error, rest.effect.std_error)
        if by_cluster:
            effect = Estimate(effect.value, by_cluster.effect_error(i))
            error, events = by_cluster.difference_error(i), by_cluster.events[i]
        difference = Estimate(effect.value - rest.effect.value, error)
        enough = events >= LEAST_EVENTS and difference.std_error > 0
        yield Segment(
            feature=name,
            low=low,
            high=low if by_level else following,
            is_level=by_level,
            n=float(part.n[0]),
            effect=effect,
            difference=difference,
            p_value=2 * float(norm.sf(abs(difference.z))) if enough else None,
        )


def _fifths(n: Doubles) -> npt.NDArray[np.int64]:
    """Number the fifths from 0: a bin belongs to the fifth that holds its middle user."""
    middle = (np.cumsum(n) - n / 2) / n.sum()
    fifth = np.minimum((PARTS * middle).astype(np.int64), PARTS - 1)
    return np.unique(fifth, return_inverse=True)[1].ravel().astype(np.int64)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
