"""A known chance of the treatment per user: by strata, or by a column.

An experiment that was blocked by region, or that ran at one share in its first week and at another in
its second, has no one share per arm. Its declaration names the columns of the strata, and the arms'
shares in each stratum; or the column that holds each user's chance.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Literal

from uplift_core.experiment.sources import Declared, Name, Share

WHOLE = re.compile(r"^(-?[0-9]+)\.0$")  # a whole number, as the text of a decimal
StrataShares = Literal["declared", "counted"]


class Stratum(Declared):
    """One stratum: its values in the columns ``strata``, in their order, and the arms' shares in it."""

    values: tuple[str | int, ...]
    shares: dict[Name, Share]

    @property
    def texts(self) -> tuple[str, ...]:
        """The values as texts; a whole number is written as one, whatever type its column has."""
        return tuple(WHOLE.sub(r"\1", str(value)) for value in self.values)


def strata_faults(
    strata: Sequence[str], shares: StrataShares, declared: Sequence[Stratum], arms: Sequence[str]
) -> Iterator[str]:
    """Find what is wrong with declared strata: each fault names the key and the remedy.

    Args:
        strata: the columns.
        shares: whether the shares are declared or counted.
        declared: the strata with their shares.
        arms: names of the experiment's arms.
    """
    if not strata:
        if declared or shares == "counted":
            yield "[[stratum]] and strata_shares need strata = [<columns>]; add it, or remove them"
        return
    if len(set(strata)) != len(strata):
        yield f"strata {list(strata)} repeat a column; name each once"
    if shares == "counted" and declared:
        yield "strata_shares = 'counted' counts the shares; remove [[stratum]], or strata_shares"
    if shares == "declared" and not declared:
        yield (
            f"strata = {list(strata)} needs the arms' shares of each stratum: add a [[stratum]] with "
            "values and shares for each, or strata_shares = 'counted' to count them"
        )
    yield from _stratum_faults(strata, declared, arms)


def _stratum_faults(
    strata: Sequence[str], declared: Sequence[Stratum], arms: Sequence[str]
) -> Iterator[str]:
    seen: set[tuple[str, ...]] = set()
    for stratum in declared:
        where = f"stratum {list(stratum.values)}"
        if len(stratum.values) != len(strata):
            yield f"{where}: values must be one for each of the columns {list(strata)}"
        if stratum.texts in seen:
            yield f"{where} is declared twice; remove one"
        seen.add(stratum.texts)
        if sorted(stratum.shares) != sorted(arms):
            yield (
                f"{where}: shares are given for {sorted(stratum.shares)}, arms are {list(arms)}; "
                "name each arm"
            )
        total = sum(stratum.shares.values())
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            yield f"{where}: the arms' shares add up to {total:.6f}; their sum must be 1"
