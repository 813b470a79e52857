"""What an experiment declares about its decisions: whom to leave out, what to refuse."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from uplift_core.experiment.sources import Declared

Fraction = Annotated[float, Field(ge=0, le=1)]


class ContactCap(Declared):
    """At most ``treatments`` of a user in ``days`` days, from the ledger of decisions."""

    treatments: Annotated[int, Field(ge=1)]
    days: Annotated[int, Field(ge=1)]


class GateLimits(Declared):
    """How odd a night's list may look and still leave the house.

    Attributes:
        sample_ratio: difference between an arm's share of the experiment's users and its designed share;
            beyond it, and beyond chance, the experiment's assignment is broken.
        list_change: share of last night's and tonight's treatments whose users are in one list only.
        realised_rate: relative difference between the treated share of users and the share asked for.
        threshold_rate: difference between the share of all users at or above the held-out threshold
            and the share of held-out users there.
    """

    sample_ratio: Fraction = 0.002
    list_change: Fraction = 0.5
    realised_rate: Fraction = 0.1
    threshold_rate: Fraction = 0.05


class Decisions(Declared):
    """What a list owes to later learning, and to its users.

    ``holdout`` of all users are never treated and ``explore`` of them whatever their score, both drawn
    once for good: what the decisions did can then be measured without bias. ``cost_column`` and
    ``value_column`` are columns of the raw table: what treating this user costs, and what one unit of
    the outcome is worth with this user; else the arm's cost and the outcome's value hold for all.

    ``cut`` says where a list ends among the ranked: at the budget's exact ``size``, or at the budget's
    held-out ``threshold``, by which the service decides.
    """

    holdout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    explore: Annotated[float, Field(ge=0, lt=1)] = 0.01
    contact_cap: ContactCap | None = None
    # Left out of what is written where it says nothing new: models keep their version.
    cut: Literal["size", "threshold"] = Field("size", exclude_if=lambda cut: cut == "size")
    cost_column: str | None = None
    value_column: str | None = None
    gates: GateLimits = GateLimits()

    @model_validator(mode="after")
    def _somebody_is_left_to_rank(self) -> Self:
        if self.holdout + self.explore >= 1:
            raise ValueError("holdout and explore must leave users to rank: their sum is 1 or more")
        return self

    @model_validator(mode="after")
    def _the_cut_is_by_what_ranks(self) -> Self:
        if self.cut == "threshold" and (self.cost_column or self.value_column):
            raise ValueError(
                "cut = 'threshold' looks at the score alone and would ignore cost_column and "
                "value_column; remove these, or let the list be cut by its size"
            )
        return self
