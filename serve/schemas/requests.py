"""Models of the requests."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from uplift_core.learner_names import LEARNER_NAMES

Label = Annotated[str, Field(max_length=64)]


Budget = Annotated[
    float,
    Field(ge=0, le=1, allow_inf_nan=False, description="Share of all users that may be treated."),
]


def _number_of(value: object) -> object:
    """Read a user id that was sent as text: JavaScript's numbers hold 53 bits only."""
    return int(value) if isinstance(value, str) and DIGITS.fullmatch(value) else value


DIGITS = re.compile("[0-9]{1,19}")


Number = Annotated[int, Field(ge=0, lt=2**63)]


UserId = Annotated[
    Number,
    BeforeValidator(
        _number_of,
        json_schema_input_type=Number | Annotated[str, Field(pattern=f"^{DIGITS.pattern}$")],
    ),
]


STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)


EXAMPLE: dict[str, JsonValue] = {
    "recency": 3,
    "history": 240.5,
    "mens": 0,
    "womens": 1,
    "newbie": 0,
    "zip_code": "Urban",
    "channel": "Web",
}


class Target(BaseModel):
    """The experiment, budget, arm and learner to decide with; what is left out is the default."""

    model_config = STRICT

    experiment: Label | None = Field(
        None, description="May be left out if only one experiment is published."
    )
    budget: Budget | None = None
    arm: Label | None = Field(None, description="The treatment to decide about.")
    learner: Label | None = Field(
        None,
        description=f"{', '.join(LEARNER_NAMES)}; if left out, the one that decides about the arm.",
    )


class ScoreRequest(Target):
    """One user: either raw attributes, or the id of a user of the published snapshot."""

    model_config = STRICT | ConfigDict(
        json_schema_extra={
            "examples": [
                {"experiment": "hillstrom", "attributes": EXAMPLE, "budget": 0.3},
                {"experiment": "hillstrom", "user_id": 7},
            ]
        }
    )

    attributes: dict[str, Any] | None = Field(
        None,
        description="Every raw column that the features are computed from; null: not known. "
        "Leave it out if you send user_id.",
    )
    user_id: UserId | None = Field(
        None,
        description="As in the lists: a number, or its digits as text. "
        "Leave it out if you send attributes.",
    )

    cluster: Annotated[str, Field(max_length=512, min_length=1)] | None = Field(
        None,
        description="With attributes, if users were assigned in clusters: the user's, such as the "
        "household, as the file writes it. Then the cluster's draw decides about a new member, too.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.attributes is None) == (self.user_id is None):
            raise ValueError("send either attributes or user_id")
        if self.cluster is not None and self.attributes is None:
            raise ValueError("cluster goes with attributes; the cluster of a user_id is known")
        return self


class BatchRequest(Target):
    """Many users: either raw attributes of each, or the id of each."""

    model_config = STRICT | ConfigDict(
        json_schema_extra={
            "examples": [{"experiment": "hillstrom", "rows": [EXAMPLE, EXAMPLE], "budget": 0.1}]
        }
    )

    rows: list[dict[str, Any]] | None = Field(
        None, min_length=1, description="Attributes of each user. Leave it out if you send user_ids."
    )
    user_ids: list[UserId] | None = Field(
        None, min_length=1, description="The id of each user. Leave it out if you send rows."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.rows is None) == (self.user_ids is None):
            raise ValueError("send either rows or user_ids")
        return self
