"""Estimate the effect by segment: one level of a feature, or one fifth of users by a numeric feature.

Each segment is compared with the rest of the users. The two share no user, so their errors are
independent. Many segments are compared, and some differ by chance alone: q values (Benjamini &
Hochberg 1995) bound the expected share of false findings among those that are called different.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control, norm

from uplift_core.arrays import Doubles
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
    """

    value: Doubles
    n: Doubles
    phi: Doubles
    phi_sq: Doubles
    events_treated: Doubles
    events_control: Doubles

    def added_up(self, place: npt.NDArray[np.int64]) -> Iterator[BinSums]:
        """Yield the sums of each segment, as one bin; bin i belongs to segment ``place[i]``."""
        for segment in range(int(place.max()) + 1):
            inside = place == segment
            sums = {name: np.atleast_1d(getattr(self, name)[inside].sum()) for name in SUMS}
            yield BinSums(value=self.value[inside][:1], **sums)

    def less(self, part: BinSums) -> BinSums:
        """Return the sums of all users but those of a part."""
        sums = {name: getattr(self, name).sum() - getattr(part, name) for name in SUMS}
        return BinSums(value=np.full(1, np.nan), **sums)

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


SUMS = tuple(f.name for f in fields(BinSums) if f.name != "value")


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
            outcomes that are not 0 in an arm.
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
    found = [segment for name, bins in features.items() for segment in _of_feature(name, bins)]
    tested = [segment.p_value for segment in found if segment.p_value is not None]
    adjusted = iter(false_discovery_control(tested) if tested else ())
    return [
        segment if segment.p_value is None else _with_q(segment, float(next(adjusted)))
        for segment in found
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
    starts = [_known(part.value[0]) for part in parts]
    for part, low, following in zip(parts, starts, [*starts[1:], None], strict=True):
        rest = bins.less(part)
        difference = Estimate(
            part.effect.value - rest.effect.value,
            math.hypot(part.effect.std_error, rest.effect.std_error),
        )
        enough = min(part.events, rest.events) >= LEAST_EVENTS and difference.std_error > 0
        yield Segment(
            feature=name,
            low=low,
            high=low if by_level else following,
            is_level=by_level,
            n=float(part.n[0]),
            effect=part.effect,
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
