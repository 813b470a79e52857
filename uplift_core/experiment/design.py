"""Parts of a declaration: the split, the defaults, arms, outcomes, and one contrast."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from uplift_core.experiment.sources import Declared, Name, Share
from uplift_core.learner_names import LearnerName


class Split(Declared):
    """The share of held-out users (split ``holdout``) and the number of folds; md5 assigns both."""

    holdout: Share = 0.3
    folds: Annotated[int, Field(ge=3, le=20)] = 5
    salt: str


class Defaults(Declared):
    """The arm, outcome, budget and learner of a list or a score if a request names no others.

    Without a ``learner`` each arm's champion decides, see ``uplift_core.evaluation.gate``.
    """

    arm: Name
    outcome: Name
    budget: Share
    learner: LearnerName | None = None


class Contrast(Declared):
    """One arm against the control, among the users of these two arms.

    ``propensity`` is e = P(W = 1) among these users, by design.
    """

    arm: str
    control: str
    propensity: float


class Arm(Declared):
    """One arm: its name, its value in the raw file's arm column, and its designed share.

    ``cost`` is the cost of treating one user, in money.
    """

    name: Name
    value: str | int
    share: Share
    cost: Annotated[float, Field(ge=0)] = 0.0


class Outcome(Declared):
    """One outcome: ``binary`` is 0 or 1, ``count`` a whole number from 0, ``continuous`` any number.

    Learners treat a count as a continuous outcome. ``value`` is the value of one unit, in the money of
    the arms' costs.
    """

    name: Name
    kind: Literal["binary", "count", "continuous"]
    column: str = ""  # in the raw file; default: the outcome's name
    value: float | None = None
    implies: str = ""  # another binary outcome; each user with this outcome has that one, too

    @model_validator(mode="before")
    @classmethod
    def _column_defaults_to_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and "name" in data:
            return {"column": data["name"], **data}
        return data

    @property
    def must_be(self) -> str:
        """The valid values, in words."""
        words = {"binary": "0 or 1", "count": "a whole number from 0"}
        return words.get(self.kind, "a finite number")
