"""The arms' shares: those of a simple design that fits the counts, or the counted ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from uplift_core.diagnostics.sample_ratio import SIGNIFICANCE, SampleRatio, sample_ratio

# Denominators of designed shares: halves and thirds, tenths, twentieths, and so on.
PARTS = (2, 3, 4, 10, 5, 6, 8, 20, 7, 12)
LIKELY = 0.05  # above this p-value, a simpler design is preferred to a nearer one


@dataclass(frozen=True)
class Shares:
    """Shares by arm as texts, and whether they look designed."""

    written: Mapping[str, str]
    designed: bool
    why: str


def find_shares(counts: Mapping[str, int]) -> Shares:
    """Find the design that agrees with the counts; the counted shares if there is none.

    The simplest design within about two standard errors is chosen. One fair experiment in twenty lies
    beyond; then the nearest design is chosen, if the check ``sample_ratio`` does not call it a mismatch.
    """
    total = sum(counts.values())
    observed = ", ".join(f"{arm} {n / total:.4f}" for arm, n in counts.items())
    designs = [(shares, _compare(counts, shares)) for shares in _designs(counts)]
    likely = [design for design in designs if design[1].p_value > LIKELY]
    shares, ratio = likely[0] if likely else max(designs, key=lambda design: _nearness(design[1]))
    written = {arm: _written(share) for arm, share in shares.items()}
    listed = ", ".join(written.values())
    if ratio.p_value >= SIGNIFICANCE:
        why = f"counted {observed}: within chance of {listed} (p = {ratio.p_value:.2g})"
        return Shares(written, designed=True, why=why)
    counted = {arm: round(n / total, 6) for arm, n in counts.items()}
    largest = max(counted, key=lambda arm: counted[arm])
    counted[largest] = round(1 - sum(v for arm, v in counted.items() if arm != largest), 6)
    return Shares(
        {arm: f"{share:.6f}" for arm, share in counted.items()},
        designed=False,
        why=f"counted {observed}: no simple design fits; the nearest, {listed}, has p = "
        f"{ratio.p_value:.2g}, less than {SIGNIFICANCE}",
    )


def _designs(counts: Mapping[str, int]) -> Iterator[dict[str, Fraction]]:
    """Yield designs near the counts, the simplest first."""
    total = sum(counts.values())
    yield dict.fromkeys(counts, Fraction(1, len(counts)))
    for parts in PARTS:
        shares = {arm: Fraction(round(n / total * parts), parts) for arm, n in counts.items()}
        if sum(shares.values()) == 1 and min(shares.values()) > 0:
            yield shares


def _compare(counts: Mapping[str, int], shares: Mapping[str, Fraction]) -> SampleRatio:
    return sample_ratio(counts, {arm: float(share) for arm, share in shares.items()})


def _nearness(ratio: SampleRatio) -> tuple[float, float]:
    """Return a sort key: the p-value, then the deviation, as with millions of users all p may be 0."""
    return ratio.p_value, -ratio.deviation


def _written(share: Fraction) -> str:
    decimal = f"{float(share):g}"
    exact = Fraction(decimal) == share
    return decimal if exact else f'"{share}"'
