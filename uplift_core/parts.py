"""Smaller parts of a declaration: the split, the defaults, one contrast."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from uplift_core.sources import Declared, Name, Share


class Split(Declared):
    """Who is held out and into how many folds users fall, both by salted md5 of the user id."""

    holdout: Share = 0.3
    folds: Annotated[int, Field(ge=3, le=20)] = 5
    salt: str


class Defaults(Declared):
    """What a list or a score is made for when nobody says otherwise.

    Without a ``learner`` each arm's champion decides, see ``uplift_core.evaluation.gate``.
    """

    arm: Name
    outcome: Name
    budget: Share
    learner: Literal["s", "t", "x", "r", "dr"] | None = None


class Contrast(Declared):
    """One arm against the control, among the users of those two arms.

    ``propensity`` is e = P(W = 1) within the two, by design.
    """

    arm: str
    control: str
    propensity: float
