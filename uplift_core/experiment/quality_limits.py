"""What an experiment declares about its data, beyond what every experiment's must be."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from uplift_core.experiment.sources import Declared

Fraction = Annotated[float, Field(ge=0, le=1)]


class ColumnRule(Declared):
    """What a raw column may hold: numbers from ``low`` to ``high``, or one of ``levels``; never null."""

    low: float | None = None
    high: float | None = None
    levels: tuple[str | int | float, ...] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.low is None and self.high is None and self.levels is None:
            raise ValueError("say low, high or levels")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if self.levels is not None and (
            not self.levels or self.low is not None or self.high is not None
        ):
            raise ValueError("levels are a list of their own, without low and high")
        return self


class FeatureRule(Declared):
    """What a feature may be: from ``low`` to ``high``, and missing for a share of users."""

    low: float | None = None
    high: float | None = None
    missing: Fraction = 0.0

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class QualityLimits(Declared):
    """How odd data may look. Each limit is a size; chance must be excluded beside it.

    Attributes:
        balance: standardized mean difference of a feature between an arm and the control; .1 is the
            usual limit (Austin 2009).
        predictability: AUC with which features tell an arm from the control (Lopez-Paz & Oquab 2017).
        leakage: AUC with which one feature tells who has an outcome; near 1 it knows the outcome.
        drift: population stability index of a feature against the training before, or of scores
            between held-out and train users; .25 is the usual limit.
        outcome_days: days after the assignment at which outcomes are complete; needs ``assigned_at``.
    """

    balance: Annotated[float, Field(gt=0)] = 0.1
    predictability: Annotated[float, Field(gt=0.5, le=1)] = 0.55
    leakage: Annotated[float, Field(gt=0.5, le=1)] = 0.98
    drift: Annotated[float, Field(gt=0)] = 0.25
    outcome_days: Annotated[int, Field(ge=0)] = 0
