"""``/suppressions``: keep users out of lists and answers, let them in again, and see who said so."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from serve import problems
from serve.consent import Said, enter, history
from serve.dependencies import CurrentRelease
from serve.guard import is_local
from serve.schemas.requests import SuppressionRequest
from uplift_core.artifacts.register import Action, Entry

router = APIRouter(tags=["suppressions"], prefix="/suppressions", responses=problems.COMMON)
KEY_SHOWN = 8  # hexadecimal digits of a key's sha256, which tell keys apart


class RegisterEntry(BaseModel):
    """An entry of the register of consent."""

    model_config = ConfigDict(frozen=True)

    entry: int = Field(description="Its number; later entries have larger ones.")
    experiment: str | None = Field(description="null: all experiments that know users by their ids.")
    user_id: int
    action: Action
    reason: str
    made_by: str = Field(description="Who says so, and the API key or account that entered it.")
    made_at: datetime = Field(description="UTC.")
    until: date | None = Field(description="Last day of a suppression, in UTC; null: no end.")

    @classmethod
    def of(cls, entry: Entry) -> RegisterEntry:
        """Describe an entry."""
        return cls(**vars(entry) | {"experiment": entry.experiment or None})


class Entered(BaseModel):
    """What was entered; from now on /score obeys it, and so does the next list."""

    model_config = ConfigDict(frozen=True)

    entries: list[RegisterEntry]
    known: bool = Field(description="Whether the published snapshot has the user.")
    not_for: list[str] = Field(
        description="Published experiments that an entry for all does not concern: they know users by "
        "the row in their file."
    )
    request_id: str


class Consent(BaseModel):
    """What the register says of a user of an experiment."""

    model_config = ConfigDict(frozen=True)

    experiment: str
    user_ids: list[int] = Field(
        description="What the id stands for; a file may write it in several rows."
    )
    keeps_out: bool = Field(
        description="Whether the register keeps the user out today (UTC). Other reasons are in /score."
    )
    entries: list[RegisterEntry] = Field(description="All entries that concern them, the oldest first.")
    request_id: str


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    responses=problems.responses(HTTPStatus.FORBIDDEN),
)
async def suppress(request: Request, body: SuppressionRequest, release: CurrentRelease) -> Entered:
    """Keep a user out of an experiment or of all, or lift that: at once, for this service and all lists.

    It takes an API key, or a call from the service's own machine while no keys are configured.
    """
    made_by = _who(request, body.by)
    said = await run_in_threadpool(enter, request.app.state.settings, release, body, made_by)
    return _entered(said, request.state.request_id)


@router.get("/{experiment}/{user}")
async def of_user(
    request: Request,
    experiment: Annotated[str, Path(max_length=64)],
    user: Annotated[str, Path(max_length=256, description="The id in the file, or user_id.")],
    release: CurrentRelease,
) -> Consent:
    """Return whether the register keeps a user out, and every entry about them."""
    users, entries, keeps_out = await run_in_threadpool(
        history, request.app.state.settings, release, experiment, user
    )
    return Consent(
        experiment=experiment,
        user_ids=sorted(users),
        keeps_out=keeps_out,
        entries=[RegisterEntry.of(entry) for entry in entries],
        request_id=request.state.request_id,
    )


def _entered(said: Said, request_id: str) -> Entered:
    return Entered(
        entries=[RegisterEntry.of(entry) for entry in said.entries],
        known=said.known,
        not_for=said.not_for,
        request_id=request_id,
    )


def _who(request: Request, by: str | None) -> str:
    """Name who writes: the caller's word, and the key that they used.

    Raises:
        ProblemError: no keys are configured, and the caller is not on this machine.
    """
    if not request.app.state.settings.api_keys:
        if not is_local(request):
            raise problems.ProblemError(
                HTTPStatus.FORBIDDEN,
                "suppressions: no API keys are configured, so only this machine may write; configure "
                "UPLIFT_API_KEYS, and send one in X-API-Key",
            )
        key = "without a key, on this machine"
    else:
        digest = hashlib.sha256(request.headers.get("x-api-key", "").encode()).hexdigest()
        key = f"API key {digest[:KEY_SHOWN]}"
    return f"{by} ({key})" if by else key
