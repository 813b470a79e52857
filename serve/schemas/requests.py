"""Models of the requests."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    model_validator,
)

from serve.problems import NUMBER_TAG, TEXT_TAG
from uplift_core.artifacts.register import MOST_TEXT
from uplift_core.learner_names import LEARNER_NAMES

Label = Annotated[str, Field(max_length=64)]


Budget = Annotated[
    float,
    Field(ge=0, le=1, allow_inf_nan=False, description="Share of all users that may be treated."),
]


Number = Annotated[int, Field(ge=0, lt=2**63)]


# A number, or a text: as the file writes the id, or the digits of the number, because JavaScript's
# numbers hold 53 bits only.
UserId = Annotated[
    Annotated[Number, Tag(NUMBER_TAG)]
    | Annotated[str, Field(min_length=1, max_length=256), Tag(TEXT_TAG)],
    Discriminator(lambda value: TEXT_TAG if isinstance(value, str) else NUMBER_TAG),
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


def _day_of(value: object) -> object:
    """Read a day that was sent as JSON sends it, a text; a number of seconds is none."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError("must be a day, YYYY-MM-DD") from error


Day = Annotated[date, BeforeValidator(_day_of, json_schema_input_type=date)]


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be a text on one line, of more than blanks")
    return text


Words = Annotated[str, Field(min_length=1, max_length=MOST_TEXT), AfterValidator(_one_line)]
UserText = Annotated[str, Field(min_length=1, max_length=256)]


class Target(BaseModel):
    """The experiment, budget, arm and learner to decide with; what is left out is the default."""

    model_config = STRICT

    experiment: Label | None = Field(
        None, description="May be left out if only one experiment is published."
    )
    budget: Budget | None = None
    arm: Label | None = Field(
        None,
        description="The treatment to decide about; best: the best one for each user, if that is shown "
        "to beat every arm alone, else the best single one.",
    )
    learner: Label | None = Field(
        None,
        description=f"{', '.join(LEARNER_NAMES)}; if left out, the one that decides about the arm.",
    )


Cluster = Annotated[str, Field(max_length=512, min_length=1)]


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
        description="As the file writes it, a text; or as the lists have it, a number or its digits. "
        "Leave it out if you send attributes.",
    )

    cluster: Cluster | None = Field(
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
        None,
        min_length=1,
        description="The id of each user, as in /score. Leave it out if you send rows.",
    )
    clusters: list[Cluster | None] | None = Field(
        None, description="With rows: the cluster of each user, as in /score; null: not known."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.rows is None) == (self.user_ids is None):
            raise ValueError("send either rows or user_ids")
        if self.clusters is not None and self.rows is None:
            raise ValueError("clusters go with rows; the clusters of user_ids are known")
        return self


class SuppressionRequest(BaseModel):
    """Keep a user out of an experiment, or of all; or lift what was entered for the same scope."""

    model_config = STRICT | ConfigDict(
        json_schema_extra={
            "examples": [
                {"experiment": "hillstrom", "user": "7", "reason": "unsubscribed", "by": "newsletter"}
            ]
        }
    )

    user: UserText = Field(description="The user's id as the experiment's file writes it, or user_id.")
    experiment: Label | None = Field(
        None,
        description="If left out, all experiments that know users by ids of their own, also later ones.",
    )
    action: Literal["suppress", "lift"] = Field(
        "suppress", description="lift ends what was entered for the same experiment, or for all."
    )
    reason: Words = Field(description="Why, such as unsubscribed; answers and lists show it.")
    by: Annotated[Words, Field(max_length=100)] | None = Field(
        None, description="Who says so, such as a person or a system; the API key is recorded as well."
    )
    until: Day | None = Field(
        None, description="Last day of the suppression, in UTC; if left out, it has no end."
    )
    unknown_too: bool = Field(
        default=False, description="Whether to enter an id that no published user has: of a later file."
    )

    @model_validator(mode="after")
    def _lifted_at_once(self) -> Self:
        if self.until and self.action == "lift":
            raise ValueError("until: a suppression is lifted at once; leave until out")
        return self
