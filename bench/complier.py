"""Count how often 95 % intervals of the complier average effect hold the truth, and how often told.

Users differ in whether the assignment reaches them, and those whom it reaches have a higher outcome
anyway. Half or a tenth are reached; the controls never, or in a tenth of all cases; users are
independent, or in households of 3 that are assigned and reached together. The truth is the mean
effect on compliers.

python -m bench.complier --runs 500 --users 3000
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.evaluation.complier import ComplierEffect
from uplift_core.evaluation.estimate import Z95, Estimate

E, SIZE = 0.5, 3


class Design(NamedTuple):
    """Shares of users who are reached if assigned only, and in any case; users in a household."""

    name: str
    compliers: float
    always: float
    size: int


DESIGNS = (
    Design("half, one-sided", 0.5, 0.0, 1),
    Design("half, two-sided", 0.5, 0.1, 1),
    Design("a tenth, one-sided", 0.1, 0.0, 1),
    Design("households of 3", 0.5, 0.1, SIZE),
    Design("weak", 0.01, 0.1, 1),
)


class Experiment(NamedTuple):
    """One experiment, (n,) each; ``mu0`` and ``mu1`` are predictions by an imperfect model."""

    w: Doubles
    d: Doubles
    y: Doubles
    mu0: Doubles
    mu1: Doubles
    household: npt.NDArray[np.int64]
    truth: float


def draw(design: Design, users: int, rng: np.random.Generator) -> Experiment:
    """Draw one experiment; outcomes are binary."""
    homes = users // design.size
    household = np.repeat(np.arange(homes), design.size)
    n = len(household)
    w = (rng.random(homes) < E)[household].astype(float)
    kind, shared = rng.random(homes)[household], rng.normal(size=homes)[household]
    complier, always = kind < design.compliers, kind > 1 - design.always
    d = np.where(always, 1.0, w * complier)
    x = rng.normal(size=n)
    base = 1 / (1 + np.exp(-(-1.2 + 0.8 * x + 0.6 * shared + 0.8 * complier)))
    effect = np.clip(base + 0.1 + 0.1 * (x > 0), 0, 1) - base
    y = (rng.random(n) < base + effect * d).astype(float)
    mu0 = 1 / (1 + np.exp(-(-1.0 + 0.6 * x)))
    truth = float(effect[complier].mean()) if complier.any() else math.nan
    return Experiment(w, d, y, mu0, mu0 + 0.05, household, truth)


def found(drawn: Experiment, *, by_cluster: bool) -> dict[str, ComplierEffect]:
    """Compute the effect by differences in means, and by doubly robust scores."""
    w, d, y = drawn.w, drawn.d, drawn.y
    cluster = drawn.household if by_cluster else None
    nu1, nu0 = d[w == 1].mean(), d[w == 0].mean()

    def phi(outcome: Doubles, none: Doubles | float, one: Doubles | float, e: float) -> Doubles:
        return np.asarray(one - none + w * (outcome - one) / e - (1 - w) * (outcome - none) / (1 - e))

    share = float(w.mean())
    means = [phi(o, o[w == 0].mean(), o[w == 1].mean(), share) for o in (y, d)]
    return {
        "means": ComplierEffect.of(*means, cluster),
        "aipw": ComplierEffect.of(phi(y, drawn.mu0, drawn.mu1, E), phi(d, nu0, nu1, E), cluster),
    }


def coverage(design: Design, given: argparse.Namespace) -> Iterator[str]:
    """Yield the table's lines of one design."""
    rng = np.random.default_rng(given.seed)
    # The truth of the population: each experiment's compliers are a sample of it.
    truth = draw(design, 1_000_000, rng).truth
    estimates: dict[str, list[Estimate | None]] = {"means": [], "aipw": [], "means, by user": []}
    for _ in range(given.runs):
        drawn = draw(design, given.users, rng)
        for name, effect in found(drawn, by_cluster=design.size > 1).items():
            estimates[name].append(effect.estimate)
        if design.size > 1:
            estimates["means, by user"].append(found(drawn, by_cluster=False)["means"].estimate)
    for name, all_of in estimates.items():
        told = [estimate for estimate in all_of if estimate is not None]
        if not all_of:
            continue
        off = np.asarray([e.value - truth for e in told])
        errors = np.asarray([e.std_error for e in told])
        held = float(np.mean(np.abs(off) <= Z95 * errors)) if told else math.nan
        error = math.sqrt(held * (1 - held) / len(told)) if told else math.nan
        bias, mean = (float(a.mean()) if told else math.nan for a in (off, errors))
        yield (
            f"{design.name:20} {name:15} {truth:7.4f} {len(told) / len(all_of):6.3f} {held:6.3f} "
            f"± {error:.3f} {bias:+8.4f} {mean:8.4f}"
        )


def main() -> None:
    """Run the designs and print their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=500, help="experiments of each design")
    parser.add_argument("--users", type=int, default=3_000, help="of each experiment")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(
        f"{given.runs} experiments of {given.users:,} users: share in which an effect is told, how "
        "often its 95 % interval holds the truth ± Monte-Carlo error, mean less truth, mean error"
    )
    print(f"{'design':20} {'by':15} {'truth':>7} {'told':>6} {'holds':>14} {'bias':>8} {'error':>8}")
    for design in DESIGNS:
        for line in coverage(design, given):
            print(line, flush=True)


if __name__ == "__main__":
    main()
