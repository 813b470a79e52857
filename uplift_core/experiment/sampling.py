"""Users who were sampled from a population with unequal chances weigh differently in its figures."""

from __future__ import annotations

from collections.abc import Collection, Iterator


def weight_faults(
    weight: str, taken: Collection[str], outcomes: Collection[str], treatments: Collection[str]
) -> Iterator[str]:
    """Find what is wrong with a declared sampling weight: each fault names the key and the remedy.

    Args:
        weight: the raw column; empty if none is declared.
        taken: raw columns that mean something else: id, arm, outcomes, cluster, exposure.
        outcomes: names of the outcomes.
        treatments: names of the arms other than the control.
    """
    if not weight:
        return
    if weight in taken:
        yield (
            f"weight = '{weight}' is declared as something else already; name the column of the "
            "sampling weights, or remove it"
        )
    if "weight" in outcomes:
        yield "an outcome called 'weight' is reserved beside weight; rename the outcome"
    if len(treatments) > 1:
        yield (
            f"weight works for one treatment, and this experiment has {list(treatments)}; leave out all "
            "treatments but one, or the weight: figures are then those of the sample"
        )


def weight_beside_chances(weight: str) -> str:
    """Say why weights and chances that differ do not go together."""
    return (
        f"weight = '{weight}' does not go with strata or propensity_column yet; remove the weight: "
        "figures are then those of the sample"
    )
