"""Limits that an experiment declares for its data, besides the rules for every experiment."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from uplift_core.experiment.sources import Declared

Fraction = Annotated[float, Field(ge=0, le=1)]


class ColumnRule(Declared):
    """Valid values of a raw column: numbers from ``low`` to ``high``, or ``levels``; never null."""

    low: float | None = None
    high: float | None = None
    levels: tuple[str | int | float, ...] | None = None

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.low is None and self.high is None and self.levels is None:
            raise ValueError("needs low, high or levels; add one of them")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}; exchange them")
        if self.levels is not None and (
            not self.levels or self.low is not None or self.high is not None
        ):
            raise ValueError("levels must have entries, and cannot be combined with low and high")
        return self


class FeatureRule(Declared):
    """Valid values of a feature: from ``low`` to ``high``, and missing for at most a share of users."""

    low: float | None = None
    high: float | None = None
    missing: Fraction = 0.0

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}; exchange them")
        return self


class QualityLimits(Declared):
    """Largest deviations that data may show. A check fails beyond such a limit *and* beyond chance.

    Attributes:
        balance: standardized mean difference of a feature between an arm and the control; .1 is the
            usual limit (Austin 2009).
        predictability: AUC with which features predict an arm against the control (Lopez-Paz & Oquab
            2017).
        leakage: AUC with which one feature predicts an outcome; near 1 the feature contains the outcome.
        drift: population stability index of a feature against the previous training, or of scores
            between held-out and train users; .25 is the usual limit.
        outcome_days: days after the assignment at which outcomes are complete; needs ``assigned_at``.
    """

    balance: Annotated[float, Field(gt=0)] = 0.1
    predictability: Annotated[float, Field(gt=0.5, le=1)] = 0.55
    leakage: Annotated[float, Field(gt=0.5, le=1)] = 0.98
    drift: Annotated[float, Field(gt=0)] = 0.25
    outcome_days: Annotated[int, Field(ge=0)] = 0
