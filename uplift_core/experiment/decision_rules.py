"""The rules of an experiment's decisions: whom a list leaves out, and which list is refused."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from uplift_core.experiment.sources import Declared

Fraction = Annotated[float, Field(ge=0, le=1)]


class ContactCap(Declared):
    """The largest number of ``treatments`` of one user in ``days`` days, by the ledger of decisions."""

    treatments: Annotated[int, Field(ge=1)]
    days: Annotated[int, Field(ge=1)]


class ArmQuota(Declared):
    """The most of one arm that a list may give which chooses each user's arm."""

    max_users: Annotated[int | None, Field(ge=0)] = None
    max_money: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None

    def places(self, cost: float) -> float:
        """Return the largest number of users, each at this cost above 0; infinite without a limit."""
        users = math.inf if self.max_users is None else self.max_users
        # A sum of costs that is equal to the money may differ by rounding.
        paid = math.inf if self.max_money is None else math.floor(self.max_money / cost + 1e-9)
        return min(users, paid)


def quota_faults(quotas: Mapping[str, ArmQuota], costs: Mapping[str, float]) -> Iterator[str]:
    """Tell what is wrong with quotas of arms, for the cost of one user by treatment arm."""
    for arm, quota in quotas.items():
        if arm not in costs:
            yield f"'{arm}' is no treatment arm; choose one of {list(costs)}"
        elif quota.max_money is not None and not costs[arm]:
            yield f"max_money of '{arm}' needs the arm's cost; declare it, or set max_users"
        elif quota == ArmQuota():
            yield f"'{arm}' has neither max_users nor max_money; set one, or remove the quota"


NO_CAP = 2**31 - 1  # more treatments than any user can have had


def cap_binds(treatments: int | None = None, days: int | None = None) -> dict[str, int]:
    """Return the values that ``sql/rules/excluded_users.sql`` takes for a contact cap, or for none."""
    return {"cap": treatments or NO_CAP, "cap_days": days or 1}


class Guardrail(Declared):
    """The largest accepted share of treatments after which an unwanted event happens."""

    max: Annotated[float, Field(gt=0, lt=1)]


def guardrail_faults(
    guardrails: Collection[str], kinds: Mapping[str, str], arriving: Collection[str]
) -> Iterator[str]:
    """Tell what is wrong with guardrails.

    Args:
        guardrails: their names.
        kinds: outcome -> its kind, of the experiment's outcomes.
        arriving: names of outcomes that arrive in files.
    """
    for name in guardrails:
        if kinds.get(name, "binary") != "binary":
            yield f"'{name}' is {kinds[name]}; a guardrail is an event: name a binary outcome"
        elif name not in kinds and name not in arriving:
            yield f"'{name}' is no outcome; say where it arrives, in arrivals.within_days"


class GateLimits(Declared):
    """Limits of the checks of the night: a list that deviates more is refused.

    Attributes:
        sample_ratio: difference between an arm's share of the experiment's users and its designed share;
            beyond this limit, and beyond chance, the experiment's assignment is broken.
        list_change: share of users in only one of two lists, among those whom last night's or tonight's
            list treats.
        realised_rate: relative difference between the treated share of users and the budget's share.
        threshold_rate: difference between the share of all users at or above the held-out threshold
            and the share of held-out users at or above it.
    """

    sample_ratio: Fraction = 0.002
    list_change: Fraction = 0.5
    realised_rate: Fraction = 0.1
    threshold_rate: Fraction = 0.05


RANDOM, RESPONSE = "random", "response"  # old rules that need no column


def is_default_band(band: float) -> bool:
    """Return whether a band is the default one."""
    return band == DEFAULT_BAND


DEFAULT_BAND = 0.05
WhenNotProven = Literal["list", "explore", "stop"]
Unit = Literal["user", "cluster"]
Draws = Literal["experiment", "campaign"]
CostPer = Literal["assigned", "exposed"]


class Decisions(Declared):
    """The rules of a list: users whom the score does not decide about, costs and values, and the cut.

    ``holdout`` is the share of users who are never treated: the holdout group of the list. ``explore``
    is the share of users about whom chance decides, whatever their score. Both are drawn once for good,
    so that the effect of the decisions can be measured without bias. ``cost_column`` and
    ``value_column`` are columns of the raw table: the cost of treating this user, and the value of one
    unit of this user's outcome. Without them the arm's cost and the outcome's value apply to all users.

    ``cost_per`` says on whom an arm's cost falls: every ``assigned`` user, or those who are ``exposed``;
    then a user's expected cost is the cost times the share of the arm's held-out users who were.

    ``cut`` says where a list of ranked users ends: at the budget's exact ``size``, or at the budget's
    held-out ``threshold``, which the service uses, too.

    ``when_not_proven`` says what a list does if the gate of the deciding learner does not say that
    choosing by its score pays off: ``list`` ranks by the score nevertheless; ``explore`` draws the users
    to treat, so that the night is an experiment which can settle the question; ``stop`` writes no list.

    ``unit`` says who is treated as a whole where the experiment declares clusters: the ``cluster``, by
    its mean, or each ``user``. Clusters are held out and explored as a whole in both cases.

    ``draws`` says who share one holdout group and the same explorers. ``experiment``: all campaigns do,
    so what is measured of one campaign is the effect of all together. ``campaign``: each campaign
    draws anew, so its effect is measured beside those of the others.

    ``fill`` fills the budget even with users who are predicted to be not worth treating: their effect,
    in money after cost where cost and value are declared, is 0 or less. If it is false, they are left
    out, and the list may be smaller. A budget in money always leaves them out.

    ``explore_near`` is a larger share of the users near the cut about whom chance decides, too, one half
    of them treated: those whose score is within ``explore_band``, a share of held-out users, above or
    below the threshold. There a wrong decision costs least, and more data changes most.

    ``usual`` is the share of users about whom the old rule decides, drawn once for good as well, so that
    the gain over business as usual can be measured. ``usual_rule`` names the old rule: ``random``,
    ``response`` (the largest predicted outcome without treatment), or the raw column that says, by 1 or
    0, whom the old system chooses.

    ``guardrails`` are, by event, such as to unsubscribe, the largest accepted share of treatments after
    which it happens: if it is shown to be exceeded, the next list is refused.

    ``quotas`` are, by arm, the most that a list with ``arm = best`` gives of it, explorers included.
    """

    holdout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    explore: Annotated[float, Field(ge=0, lt=1)] = 0.01
    # The defaults are not written to manifests, so that models keep their version.
    explore_near: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, exclude_if=lambda share: not share)
    explore_band: Annotated[float, Field(gt=0, lt=0.5)] = Field(DEFAULT_BAND, exclude_if=is_default_band)
    usual: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, exclude_if=lambda share: not share)
    usual_rule: str = Field("", exclude_if=lambda rule: not rule)
    contact_cap: ContactCap | None = None
    cut: Literal["size", "threshold"] = Field("size", exclude_if=lambda cut: cut == "size")
    when_not_proven: WhenNotProven = Field("list", exclude_if=lambda choice: choice == "list")
    # Default: the cluster where one is declared, else the user; see ``Experiment.decision_unit``.
    unit: Unit | None = Field(None, exclude_if=lambda unit: unit is None)
    draws: Draws = Field("experiment", exclude_if=lambda draws: draws == "experiment")
    fill: bool = Field(default=True, exclude_if=bool)
    # Whether an arm's cost falls on each user of a list, or on those whom the treatment reaches.
    cost_per: CostPer = Field("assigned", exclude_if=lambda per: per == "assigned")
    cost_column: str | None = None
    value_column: str | None = None
    gates: GateLimits = GateLimits()
    guardrails: dict[str, Guardrail] = Field(default_factory=dict, exclude_if=lambda rails: not rails)
    quotas: dict[str, ArmQuota] = Field(default_factory=dict, exclude_if=lambda quotas: not quotas)

    def drawn_by_chance(self) -> Decisions:
        """Return these rules with chance instead of the score: all but the holdout group explore."""
        return self.model_copy(update={"explore": 1 - self.holdout, "usual": 0.0, "explore_near": 0.0})

    @property
    def usual_column(self) -> str:
        """The raw column with the old system's choices; empty if the old rule is another one."""
        return "" if self.usual_rule in {"", RANDOM, RESPONSE} else self.usual_rule

    @model_validator(mode="after")
    def _leaves_users_to_rank(self) -> Self:
        if self.holdout + self.explore + self.explore_near + self.usual >= 1:
            raise ValueError(
                "holdout, explore, explore_near and usual must leave users to rank: their sum is 1 or "
                "more; make one smaller"
            )
        return self

    @model_validator(mode="after")
    def _scores_have_a_band(self) -> Self:
        if self.explore_near and (self.cost_column or self.value_column):
            raise ValueError(
                "explore_near is about scores near the threshold, and cost_column or value_column rank "
                "users by more than their score; remove one of them"
            )
        if self.explore_near and self.contact_cap:
            raise ValueError(
                "explore_near beside contact_cap: users near the cut reach their cap by chance, others "
                "by their score, which would be no fair comparison; remove one of them"
            )
        return self

    @model_validator(mode="after")
    def _usual_has_a_rule(self) -> Self:
        if bool(self.usual) != bool(self.usual_rule):
            raise ValueError(
                "usual and usual_rule go together: the share of users about whom the old rule decides, "
                f"and the rule: '{RANDOM}', '{RESPONSE}' or a column; add the other, or remove both"
            )
        if self.usual and self.contact_cap:
            raise ValueError(
                "usual beside contact_cap: past treatments would keep other users out under the old "
                "rule than under the new one, and their difference would be no fair comparison; remove "
                "one of them"
            )
        return self

    @model_validator(mode="after")
    def _cut_fits_the_ranking(self) -> Self:
        if self.cut == "threshold" and (self.cost_column or self.value_column):
            raise ValueError(
                "cut = 'threshold' looks at the score alone and would ignore cost_column and "
                "value_column; remove these, or set cut = 'size'"
            )
        return self
