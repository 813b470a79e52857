"""Smaller parts of a declaration: the split, the defaults, one contrast."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from uplift_core.experiment.sources import Declared, Name, Share


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


class Arm(Declared):
    """One arm: its name here, its value in the raw file's arm column, its designed share.

    ``cost`` is what treating one user costs, in money.
    """

    name: Name
    value: str | int
    share: Share
    cost: Annotated[float, Field(ge=0)] = 0.0


class Outcome(Declared):
    """One outcome: ``binary`` holds 0 and 1, ``count`` whole numbers from 0, ``continuous`` any number.

    Learners take a count as a continuous outcome. ``value`` is what one unit of it is worth, in the
    money of the arms' costs.
    """

    name: Name
    kind: Literal["binary", "count", "continuous"]
    column: str = ""  # in the raw file; the outcome's name unless given
    value: float | None = None
    implies: str = ""  # another binary outcome that whoever has this one has, too

    @model_validator(mode="before")
    @classmethod
    def _column_defaults_to_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and "name" in data:
            return {"column": data["name"], **data}
        return data

    @property
    def must_be(self) -> str:
        """What every value must be, in words."""
        words = {"binary": "0 or 1", "count": "a whole number from 0"}
        return words.get(self.kind, "a finite number")
