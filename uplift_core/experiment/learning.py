"""Learning from lists: when models are trained again on the experiment and on what lists brought."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from uplift_core.experiment.arrivals import Days
from uplift_core.experiment.sources import Declared


class Learning(Declared):
    """How models learn from lists.

    Attributes:
        nights: number of the newest nights with closed windows that are learned from.
        overlap: the smallest chance of treatment, and of none, of users who are learned from.
        every_days: age of a model, in days, after which it is due to learn again.
        campaign: the campaign to learn from; default: the one with the treatment's name.
    """

    nights: Annotated[int, Field(ge=1, le=400)] = 30
    overlap: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    every_days: Days = 30
    campaign: str = ""
