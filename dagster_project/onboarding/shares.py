"""The arms' shares: those that a design would have, or else those that were counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from uplift_core.evaluation.sample_ratio import sample_ratio

# Parts that designs are made of: halves and thirds, tenths, twentieths, and so on.
PARTS = (2, 3, 4, 10, 5, 6, 8, 20, 7, 12)
LIKELY = 0.05  # a design that the counts are less likely under is not taken for it


@dataclass(frozen=True)
class Shares:
    """Shares by arm as they are written, and whether they look designed."""

    written: Mapping[str, str]
    designed: bool
    why: str


def find_shares(counts: Mapping[str, int]) -> Shares:
    """The simplest shares that the counts agree with; the counted ones if none does."""
    total = sum(counts.values())
    observed = ", ".join(f"{arm} {n / total:.4f}" for arm, n in counts.items())
    candidates = [dict.fromkeys(counts, Fraction(1, len(counts)))]
    candidates += [
        {arm: Fraction(round(n / total * parts), parts) for arm, n in counts.items()} for parts in PARTS
    ]
    for shares in candidates:
        if sum(shares.values()) != 1 or min(shares.values()) <= 0:
            continue
        found = sample_ratio(counts, {arm: float(share) for arm, share in shares.items()})
        if found.p_value > LIKELY:
            written = {arm: _written(share) for arm, share in shares.items()}
            why = f"counted {observed}: within chance of {', '.join(written.values())}"
            return Shares(written, designed=True, why=why)
    counted = {arm: round(n / total, 6) for arm, n in counts.items()}
    largest = max(counted, key=lambda arm: counted[arm])
    counted[largest] = round(1 - sum(v for arm, v in counted.items() if arm != largest), 6)
    return Shares(
        {arm: f"{share:.6f}" for arm, share in counted.items()},
        designed=False,
        why=f"counted {observed}: no simple design fits",
    )


def _written(share: Fraction) -> str:
    decimal = f"{float(share):g}"
    exact = Fraction(decimal) == share
    return decimal if exact else f'"{share}"'
