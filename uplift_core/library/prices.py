"""What a treatment costs and what an outcome is worth, in money, as the caller says it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.experiment.declaration import Experiment
from uplift_core.library.frames import numbers, refuse, text_of

if TYPE_CHECKING:
    import pyarrow as pa

Cost = float | str | Mapping[Any, float]
Value = float | str | Mapping[str, float]
NEEDED = (
    "money: needs the cost of a treatment and the value of one unit of the outcome, both above 0; give "
    "cost= and value=, numbers or columns"
)


def declared_costs(cost: Cost | None, treatments: Sequence[str]) -> dict[str, float]:
    """Return the declared cost of each treatment, by its text in the table; none if none is given.

    Raises:
        DataError: a cost is no number from 0, or an arm has none.
    """
    if cost is None or isinstance(cost, str):
        return {}
    if not isinstance(cost, Mapping):
        return dict.fromkeys(treatments, _price("cost", cost))
    costs = {text_of(arm): _price("cost", each) for arm, each in cost.items()}
    if sorted(costs) != sorted(treatments):
        raise DataError(
            f"cost: given for {sorted(costs)}, and the treatments are {sorted(treatments)}; give each "
            "one a cost, and the control none"
        )
    return costs


def declared_values(value: Value | None, outcomes: Sequence[str]) -> dict[str, float]:
    """Return the declared value of a unit of outcomes, by column; a number is that of the first.

    Raises:
        DataError: a value is no number above 0, or there is no such outcome.
    """
    if value is None or isinstance(value, str):
        return {}
    given = value if isinstance(value, Mapping) else {outcomes[0]: value}
    unknown = set(given) - set(outcomes)
    if unknown:
        raise DataError(f"value: {sorted(unknown)} are none of the outcomes {list(outcomes)}")
    values = {name: _price("value", each) for name, each in given.items()}
    free = [name for name, each in values.items() if not each]
    if free:
        raise DataError(f"value: that of '{free[0]}' must be above 0; leave it out if it has none")
    return values


@dataclass(frozen=True)
class Prices:
    """The cost of treating a user, and the value of one unit of the outcome: numbers, or columns.

    None is not known: then a treatment costs nothing, and effects stay in units of the outcome.
    """

    cost: float | str | None
    value: float | str | None

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        arm: str,
        cost: float | str | None = None,
        value: float | str | None = None,
    ) -> Prices:
        """Return the caller's prices of one arm, and else the declared ones.

        Raises:
            DataError: a price is no number from 0, or a run's costs depend on who is reached.
        """
        rules = experiment.decisions
        if cost is None and rules.cost_per == "exposed":
            raise DataError(
                f"cost: that of {experiment.name} falls on users whom the treatment reaches, and the "
                "model does not know their share; give cost=, the expected cost of treating a user"
            )
        if cost is None:
            cost = rules.cost_column or experiment.arm(arm).cost or None
        if value is None:
            value = rules.value_column or experiment.outcome(experiment.defaults.outcome).value
        return cls(
            *(
                price if price is None or isinstance(price, str) else _price(name, price)
                for name, price in (("cost", cost), ("value", value))
            )
        )

    @property
    def columns(self) -> list[str]:
        """The columns with the users' own prices."""
        return [price for price in (self.cost, self.value) if isinstance(price, str)]

    def read(self, table: pa.Table, *, money: bool) -> tuple[Doubles, Doubles]:
        """Return each user's cost and value, (n,) each; a value that is not known is NaN.

        Raises:
            DataError: a budget in money needs both above 0; a user's price is missing or below 0.
        """
        if money and not (self.cost and self.value):
            raise DataError(NEEDED)
        read = []
        for price, unknown in ((self.cost, 0.0), (self.value, math.nan)):
            if isinstance(price, str):
                column = numbers(table, price)
                low = column <= 0 if money else column < 0
                least = "above 0, which money needs" if money else "0 or more"
                wrong = f"is missing or not {least},"
                refuse(price, np.isnan(column) | low, wrong, "correct these users, or leave them out")
                read.append(column)
            else:
                read.append(np.full(table.num_rows, unknown if price is None else price))
        return read[0], read[1]


def _price(name: str, price: object) -> float:
    if isinstance(price, (bool, str)) or not isinstance(price, (int, float, np.number)):
        raise DataError(f"{name}: {price!r} must be a number, or the name of a column")
    if not (math.isfinite(price) and price >= 0):
        raise DataError(f"{name}: {price:g} must be 0 or more, in money")
    return float(price)
