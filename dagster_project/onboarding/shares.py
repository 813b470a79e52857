"""The arms' shares: those of a simple design that fits the counts, or the counted ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from uplift_core.diagnostics.sample_ratio import SIGNIFICANCE, SampleRatio, sample_ratio
from uplift_core.errors import ExperimentError

# Denominators of the designs that people run, the simplest first; of two arms nobody plans 4/7 and 3/7.
PARTS = (2, 3, 4, 10, 5, 20)
PARTS_OF_SEVERAL = (3, 4, 10, 5, 6, 8, 9, 20, 12)
COUNTED = "counted"
LIKELY = 0.05  # above this p-value, a simpler design is preferred to a nearer one


@dataclass(frozen=True)
class Shares:
    """Shares by arm as texts, and whether they look designed."""

    written: Mapping[str, str]
    designed: bool
    why: str


def find_shares(counts: Mapping[str, int], plan: str = "") -> Shares:
    """Find the design that agrees with the counts; the counted shares if there is none.

    The simplest design within about two standard errors is chosen. One fair experiment in twenty lies
    beyond; then the nearest design is chosen, if the check ``sample_ratio`` does not call it a mismatch.

    Args:
        counts: users by arm.
        plan: the planned shares, such as ``control=0.5 mail=0.5``; ``counted`` if there was no plan.

    Raises:
        ExperimentError: the plan does not agree with the counts, or cannot be read.
    """
    if plan and plan != COUNTED:
        return _planned(counts, plan)
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


def ask_for_plan(shares: Shares, counts: Mapping[str, int], plan: str) -> None:
    """Ask for the planned shares if no usual design agrees with the counts.

    Raises:
        ExperimentError: says how to pass the plan.
    """
    if not shares.designed and plan != COUNTED:
        raise ExperimentError(
            f"{shares.why}. Pass the planned shares as --shares '{_example(counts)}'. If users left the "
            "data after the assignment, more of them in one arm, find these users first. If there was "
            "no plan, pass --shares counted"
        )


def _planned(counts: Mapping[str, int], plan: str) -> Shares:
    """Read planned shares, and compare them with the counts."""
    parts = [part.rpartition("=") for part in plan.replace(",", " ").split()]
    try:
        shares = {arm: Fraction(share) for arm, _, share in parts}
    except (ValueError, ZeroDivisionError):
        shares = {}
    if set(shares) != set(counts) or sum(shares.values()) != 1 or min(shares.values()) <= 0:
        raise ExperimentError(
            f"--shares '{plan}': must name every arm with its share, and the shares must add up to 1; "
            f"for example '{_example(counts)}'"
        )
    ratio = _compare(counts, shares)
    if ratio.p_value < SIGNIFICANCE:
        total = sum(counts.values())
        raise ExperimentError(
            f"sample ratio mismatch: arm '{ratio.arm}' has {counts[ratio.arm] / total:.4f} of users "
            f"where {float(shares[ratio.arm]):.4f} was planned (p = {ratio.p_value:.2g}). Likely users "
            "left the data after the assignment, more of them in one arm (attrition), and the arms no "
            "longer compare: find the missing users"
        )
    why = f"as you said; the counts are within chance of it (p = {ratio.p_value:.2g})"
    return Shares({arm: _written(share) for arm, share in shares.items()}, designed=True, why=why)


def _example(counts: Mapping[str, int]) -> str:
    return " ".join(f"{arm}=1/{len(counts)}" for arm in sorted(counts))


def _designs(counts: Mapping[str, int]) -> Iterator[dict[str, Fraction]]:
    """Yield designs near the counts, the simplest first."""
    total = sum(counts.values())
    yield dict.fromkeys(counts, Fraction(1, len(counts)))
    for parts in PARTS if len(counts) == 2 else PARTS_OF_SEVERAL:  # noqa: PLR2004 - two arms
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
