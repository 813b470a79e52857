"""A public look-alike of Criteo's uplift experiment: any number of users, with known effects.

No row and no parameter comes from Criteo's data. The look-alike imitates its shape, as published and as
seen: twelve anonymous features with one usual value that most users have, and few or very many other
values; features that leave the usual value together; 85 % treated; few visits, fewer conversions. Users
are drawn in chunks, each with a separate random stream, so that any number of users fits into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtri

from uplift_core.arrays import Doubles, Floats
from uplift_core.errors import DataError

FEATURES = tuple(f"f{number}" for number in range(12))
CHUNK = 250_000


@dataclass(frozen=True)
class _Feature:
    """One feature: its usual value, and the distribution of its other values.

    ``signal`` is the hidden trait that moves the feature away from ``usual``. The distance is ``scale``
    * t, where t is the trait's excess, mixed with the share ``noise`` of noise and rounded to ``step``.
    """

    signal: int
    usual: float
    scale: float
    noise: float
    step: float


# By trait: the share of users whom it leaves at the usual values, and its weight in the activity.
_SHARES = (0.27, 0.52, 0.80, 0.95, 0.94, 0.987)
_ACTIVITY = (0.2, 0.5, 0.7, 0.5, 0.4, 0.4)
_LAYOUT = (
    _Feature(0, 12.5, 6.0, 0.25, 1e-4),
    _Feature(5, 10.0, 1.5, 0.0, 0.25),
    _Feature(1, 8.2, 0.4, 0.15, 1e-5),
    _Feature(2, 4.7, -1.8, 0.3, 0.02),
    _Feature(3, 10.3, 2.0, 0.0, 0.08),
    _Feature(4, 4.1, -2.4, 0.0, 0.2),
    _Feature(0, 0.3, -5.0, 0.0, 0.7),
    _Feature(4, 4.8, 3.0, 0.6, 1e-4),
    _Feature(1, 4.0, -0.1, 0.0, 0.01),
    _Feature(2, 13.2, 12.0, 0.0, 1.5),
    _Feature(3, 5.3, 0.6, 0.6, 1e-4),
    _Feature(5, -0.2, -0.2, 0.0, 0.05),
)


@dataclass(frozen=True)
class Lookalike:
    """Users of the look-alike, with their true effects.

    Attributes:
        x: (n, 12) float32 features.
        w: (n,) 1 under treatment.
        visit: (n,) 0 or 1.
        conversion: (n,) 0 or 1; nobody converts without a visit.
        exposure: (n,) 1 if the advertisement was shown, which comes after the treatment.
        visit_effect: (n,) true effect on the chance to visit.
        conversion_effect: (n,) true effect on the chance to convert.
    """

    x: Floats
    w: npt.NDArray[np.uint8]
    visit: npt.NDArray[np.uint8]
    conversion: npt.NDArray[np.uint8]
    exposure: npt.NDArray[np.uint8]
    visit_effect: Doubles
    conversion_effect: Doubles


def lookalike_rct(
    n_users: int, seed: int, *, treated_share: float = 0.85, chunk: int = CHUNK
) -> Iterator[Lookalike]:
    """Draw ``n_users`` users in chunks.

    With activity a and the excesses t of the traits, logit P(visit | control) = -4.0 + 1.3 a, and the
    treatment adds 0.15 + 0.35 tanh(t_1) - 0.25 tanh(t_2) to it. A visitor converts with chance
    expit(-3.2 + 0.5 a), under treatment expit(-3.1 + 0.5 a).

    Args:
        n_users: total number of users.
        seed: random seed of all streams.
        treated_share: e, the chance of being treated.
        chunk: number of users per chunk.

    Raises:
        DataError: the share is not between 0 and 1.
    """
    if not 0 < treated_share < 1:
        raise DataError(f"treated_share {treated_share!r}: must be between 0 and 1")
    starts = range(0, n_users, chunk)
    streams = np.random.SeedSequence(seed).spawn(len(starts))
    for start, stream in zip(starts, streams, strict=True):
        rng = np.random.default_rng(stream)
        yield _draw(rng, min(chunk, n_users - start), treated_share)


def _draw(rng: np.random.Generator, n: int, treated_share: float) -> Lookalike:
    common = rng.standard_normal((n, 1))
    traits = 0.6 * common + 0.8 * rng.standard_normal((n, len(_SHARES)))
    excess = np.maximum(traits - ndtri(np.array(_SHARES)), 0.0)
    activity = excess @ np.array(_ACTIVITY)
    logit = -4.0 + 1.3 * activity
    lift = 0.15 + 0.35 * np.tanh(excess[:, 1]) - 0.25 * np.tanh(excess[:, 2])
    visit0, visit1 = expit(logit), expit(logit + lift)
    buy0, buy1 = expit(-3.2 + 0.5 * activity), expit(-3.1 + 0.5 * activity)
    w = rng.random(n) < treated_share
    visit = rng.random(n) < np.where(w, visit1, visit0)
    conversion = visit & (rng.random(n) < np.where(w, buy1, buy0))
    exposure = w & (rng.random(n) < np.where(visit, 0.4, 0.02))
    return Lookalike(
        x=_features(rng, excess),
        w=w.astype(np.uint8),
        visit=visit.astype(np.uint8),
        conversion=conversion.astype(np.uint8),
        exposure=exposure.astype(np.uint8),
        visit_effect=visit1 - visit0,
        conversion_effect=visit1 * buy1 - visit0 * buy0,
    )


def _features(rng: np.random.Generator, excess: Doubles) -> Floats:
    x = np.empty((len(excess), len(_LAYOUT)), dtype=np.float32)
    for column, feature in enumerate(_LAYOUT):
        t = excess[:, feature.signal]
        noise = np.abs(rng.standard_normal(len(t))) if feature.noise else 0.0
        distance = feature.scale * ((1 - feature.noise) * t + feature.noise * noise)
        steps = np.sign(distance) * np.maximum(np.round(np.abs(distance) / feature.step), 1.0)
        x[:, column] = np.where(t > 0, feature.usual + steps * feature.step, feature.usual)
    return x
