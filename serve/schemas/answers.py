"""What is answered about one user and about many."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from serve.known_users import Role
from uplift_core.evaluation.gate import EvidenceStatus

EVIDENCE = (
    "Whether acting on the scores of the learner that decides is shown to pay: passed if they beat "
    "random targeting and the response model inside train, contradicted if held-out users speak "
    "against them."
)
Verdict = Literal["treat", "no_treat"]


class Answer(BaseModel):
    """What every decision carries, and all that is needed to repeat it."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    threshold: float | None = Field(
        description="Score from which on users are treated, a float32; null: nobody is."
    )
    budget: float
    arm: str
    learner: str
    outcome: str
    experiment: str
    evidence: EvidenceStatus = Field(description=EVIDENCE)
    evidence_reason: str = Field(description="The same in a sentence, with the figures.")
    model_version: str
    snapshot_id: str
    stale: bool = Field(description="Whether what is published is old, or something newer is broken.")
    request_id: str


class PublishedList(BaseModel):
    """The newest list about an arm: of the campaign called as the arm is, or else of any other."""

    model_config = ConfigDict(frozen=True)

    decision_date: date
    campaign: str
    arm: str
    learner: str = Field(description="That decided.")
    model_version: str = Field(description="That the list was made by.")
    budget: float = Field(description="Share of users that the list asked for.")
    cut: Literal["size", "threshold"] = Field(
        description="Whether the list ends at its exact size, or at the held-out threshold."
    )


class Listed(PublishedList):
    """What that list says of a user."""

    decision: str = Field(description="treat, no_treat, holdout, explore or suppressed.")
    treated: bool = Field(description="Whether the list treats the user.")
    rank: int | None = Field(description="Place in its order; null for who cannot be treated.")
    reason: str = Field(description="In the ledger's words, such as within_budget.")


class Decision(Answer):
    """The answer about one user."""

    # In the API's description: clients that are made of it confuse a model with a field of its name.
    model_config = ConfigDict(title="ScoreAnswer")

    decision_id: str
    decision: Verdict = Field(
        description="What to do. Users who are held out or suppressed are never treated; about "
        "explorers chance decides, at the budget's rate; about all others, and by attributes, the score."
    )
    reason: str = Field(
        description="above_threshold (or at it) or below_threshold where the score decides; holdout; "
        "why the user is suppressed, such as unsubscribed or contact_cap; explore."
    )
    score_decision: Verdict = Field(description="What the score alone would say.")
    score: float = Field(description="Predicted effect on the outcome (CATE), a float32.")
    response: float = Field(description="Predicted outcome under control, a float32.")
    top_share: float = Field(description="Share of held-out users with this score or a better one.")
    role: Role | None = Field(None, description="Of a user_id: the part that the user plays in lists.")
    own_id: str | None = Field(
        None,
        description="Of a user_id: the user's id as it is written in the experiment's file, where that "
        "has another.",
    )
    listed: Listed | None = Field(
        None, description="Of a user_id: what the newest list about the arm says; null: not on it."
    )


class Decisions(Answer):
    """The answers about many users, in the order in which they were sent.

    What begins with `listed` says what the newest list about the arm says of each user. By attributes
    nothing is known of users: `treat` is what the score says, and all that is left out here is null.
    """

    decision_id: str
    scores: list[float]
    responses: list[float]
    treat: list[bool] = Field(description="Whom to treat, as `decision` of /score.")
    score_treat: list[bool] | None = Field(None, description="Whom the score alone would treat.")
    roles: list[Role] | None = None
    reasons: list[str] | None = Field(None, description="As `reason` of /score.")
    listed_in: PublishedList | None = Field(
        None, description="The newest list about the arm; null: none."
    )
    listed_decisions: list[str | None] | None = None
    listed_treated: list[bool | None] | None = None
    listed_ranks: list[int | None] | None = None
    listed_reasons: list[str | None] | None = None
