"""Models of the answers about one user and about many."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from serve.known_users import Role
from uplift_core.artifacts.publication import Pin
from uplift_core.evaluation.gate import EvidenceStatus

EVIDENCE = (
    "Whether acting on the scores of the learner that decides is shown to pay: passed if they beat "
    "random targeting and the response model inside train, contradicted if held-out users speak "
    "against them."
)
Verdict = Literal["treat", "no_treat"]


class BestArmPolicy(BaseModel):
    """Which policy over several arms decides at the budget, by users of the train split."""

    model_config = ConfigDict(frozen=True)

    decider: str = Field(
        description="multi_arm: the best arm for each user; otherwise the arm that decides alone, or "
        "nobody."
    )
    word: EvidenceStatus = Field(
        description="passed if choosing each user's arm is shown to beat every arm alone."
    )
    reason: str = Field(description="Evidence in some sentences, with the figures.")
    judged_at: float = Field(description="The budget at which policies were judged, the nearest one.")
    price: float | None = Field(
        description="With multi_arm, the effect per cost that an arm must reach at this budget, from "
        "held-out users; null: nobody is treated, or one arm decides alone."
    )


class Alternative(BaseModel):
    """One arm for one user."""

    model_config = ConfigDict(frozen=True)

    arm: str
    learner: str = Field(description="The learner that decides about the arm.")
    score: float = Field(description="Predicted effect on the outcome (CATE), a float32.")
    effect: float = Field(description="The score, calibrated so that arms can be compared, a float32.")
    cost: float = Field(description="Cost of the treatment; 1 for every arm if none is declared.")
    net_value: float | None = Field(
        description="In money: value of the effect minus the cost; null without a value."
    )


class Answer(BaseModel):
    """Fields that every decision has, with all that is needed to repeat it."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    threshold: float | None = Field(
        description="Smallest score that is treated, a float32; null: nobody is treated, or the price "
        "of best_arm decides."
    )
    budget: float = Field(
        description="Share of users. With arm = best: cost per user over the dearest arm's, which is "
        "the share of users if all arms cost the same."
    )
    arm: str = Field(
        description="With arm = best: of one user, the arm to treat with; without one, the arm that "
        "would come first as the budget grows. Of many users, best where each has one in arms."
    )
    learner: str
    outcome: str
    experiment: str
    evidence: EvidenceStatus = Field(description=EVIDENCE)
    evidence_reason: str = Field(description="Evidence in a sentence, with the figures.")
    model_version: str
    snapshot_id: str
    stale: bool = Field(
        description="Whether the published snapshot is old, or a newer one exists and cannot be loaded."
    )
    request_id: str
    best_arm: BestArmPolicy | None = Field(
        None, description="With arm = best: which policy over several arms decides."
    )


class Pinned(BaseModel):
    """A rollback that holds: who rolled back, when and why, and whether a newer snapshot waits."""

    model_config = ConfigDict(frozen=True)

    pinned_at: datetime
    made_by: str
    reason: str
    newer_waits: bool

    @classmethod
    def of(cls, pin: Pin | None) -> Self | None:
        """Describe a pin; None if there is none."""
        if pin is None:
            return None
        return cls(
            pinned_at=pin.pinned_at,
            made_by=pin.made_by,
            reason=pin.reason,
            newer_waits=pin.waiting is not None,
        )


class PublishedList(BaseModel):
    """The newest list about an arm: of the campaign with the arm's name, or else of any other."""

    model_config = ConfigDict(frozen=True)

    decision_date: date
    campaign: str
    arm: str
    learner: str = Field(description="The learner that decided.")
    model_version: str = Field(description="The model that the list was made with.")
    budget: float = Field(description="Share of users that the list was to treat.")
    cut: Literal["size", "threshold"] = Field(
        description="Whether the list ends at its exact size, or at the held-out threshold."
    )


class Listed(PublishedList):
    """What the newest list says about a user."""

    decision: str = Field(
        description="treat, no_treat, holdout, explore, suppressed, usual or explore_near."
    )
    treated: bool = Field(description="Whether the list treats the user.")
    rank: int | None = Field(
        description="Place in the list's order; null for users who cannot be treated."
    )
    reason: str = Field(description="As in decisions.treat_list, such as within_budget.")


class Decision(Answer):
    """The answer about one user."""

    # The title in the OpenAPI description: generated clients confuse a model and a field of one name.
    model_config = ConfigDict(title="ScoreAnswer")

    decision_id: str
    decision: Verdict = Field(
        description="What to do. Users who are held out or suppressed are never treated. Chance decides "
        "about explorers, at the budget's rate, and the newest list about users who are treated as "
        "usual or explore near its cut. The score decides about all others, and by attributes; "
        "where lists treat whole clusters, the newest list of this budget and learner decides about its "
        "users."
    )
    reason: str = Field(
        description="Where the score decides: above_threshold (or at it) or below_threshold. Else "
        "holdout, explore, explore_near, usual, or why the user is suppressed, such as unsubscribed or "
        "contact_cap; where the list decides about a whole cluster, its reason, such as within_budget."
    )
    score_decision: Verdict = Field(description="What the score alone would decide.")
    score: float = Field(description="Predicted effect on the outcome (CATE), a float32.")
    response: float = Field(description="Predicted outcome under control, a float32.")
    cate_std_error: float | None = Field(
        None,
        description="Standard error of the score over bags of the users of the experiment; not how "
        "far it is from the truth. null: the learner has no bags, or the score is calibrated (arm = "
        "best).",
    )
    top_share: float = Field(description="Share of held-out users with this score or a better one.")
    role: Role | None = Field(None, description="The user's role in the lists, with user_id or cluster.")
    own_id: str | None = Field(
        None,
        description="With user_id only: the user's id as the experiment's file writes it, if that "
        "file has another id than user_id.",
    )
    listed: Listed | None = Field(
        None,
        description="With user_id only: what the newest list about the arm says; null: not on it.",
    )
    alternatives: list[Alternative] | None = Field(
        None, description="With arm = best: every arm for this user."
    )


class Decisions(Answer):
    """The answers about many users, in the order in which they were sent.

    Fields that begin with `listed` say what the newest list about the arm says about each user. Users
    who are sent by attributes are not known: `treat` is what the score says, and the optional fields are
    null. With `clusters` it is what the clusters' draws say, too.
    """

    decision_id: str
    scores: list[float]
    responses: list[float]
    cate_std_errors: list[float] | None = Field(None, description="As `cate_std_error` of /score.")
    treat: list[bool] = Field(description="Whether to treat each user, as `decision` of /score.")
    score_treat: list[bool] | None = Field(
        None, description="Whether the score alone would treat each user."
    )
    roles: list[Role | None] | None = Field(
        None, description="As `role` of /score; null: by attributes, without a cluster."
    )
    reasons: list[str] | None = Field(None, description="As `reason` of /score.")
    listed_in: PublishedList | None = Field(
        None, description="The newest list about the arm; null: none."
    )
    listed_decisions: list[str | None] | None = None
    listed_treated: list[bool | None] | None = None
    listed_ranks: list[int | None] | None = None
    listed_reasons: list[str | None] | None = None
    arms: list[str | None] | None = Field(
        None, description="With arm = best: each user's arm; null: no treatment."
    )
