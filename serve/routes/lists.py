"""Streams of a campaign's newest list for tools that pull: users to treat, and changes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from http import HTTPStatus
from itertools import chain
from typing import Annotated, Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.csv
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from serve import problems
from serve.dependencies import CurrentRelease
from serve.errors import UnavailableError
from serve.known_users import today
from serve.release import PublishedModel, Release
from serve.routes.batch import ARROW
from serve.schemas.requests import Label
from uplift_core.artifacts.register import Register, RegisterError, scopes_of

CSV = "text/csv"
ROWS = 50_000  # of a piece of the stream
NEWEST = """
select decision_date from decisions.listed
where experiment = $experiment and campaign = $campaign
limit 1
"""
KEPT_OUT = """
select 1 from unnest($kept_out::bigint[]) as kept_out (user_id) where kept_out.user_id = listed.user_id
"""
TREATED = f"""
select {{user_id}}, listed.arm, listed.campaign, listed.decision_date, listed.rank
from decisions.listed {{joins}}
where listed.experiment = $experiment and listed.campaign = $campaign and listed.treated
    and not exists ({KEPT_OUT})
order by listed.rank, listed.user_id
"""
# As sql/decisions/changes.sql; whoever said no since leaves the list, too.
CHANGES = f"""
with this_list as (
    select user_id, arm, decision_date from decisions.listed
    where experiment = $experiment and campaign = $campaign and treated and not exists ({KEPT_OUT})
),
list_before as (
    select user_id, arm from decisions.treat_list
    where experiment = $experiment and campaign = $campaign and treated
        and decision_date = (
            select previous_date from decisions.nights
            where experiment = $experiment and campaign = $campaign and decision_date = $decision_date
        )
),
changed as (
    select
        coalesce(this_list.user_id, list_before.user_id) as user_id,
        case
            when list_before.user_id is null then 'enter'
            when this_list.user_id is null then 'exit'
            else 'arm'
        end as change,
        this_list.arm,
        list_before.arm as previous_arm
    from this_list full join list_before on this_list.user_id = list_before.user_id
    where this_list.arm is distinct from list_before.arm
)
select {{user_id}}, listed.change, listed.arm, listed.previous_arm
from changed as listed {{joins}}
order by listed.change, listed.user_id
"""


class Form(NamedTuple):
    """How rows are sent: the media type, the ending of the file's name, what makes a writer."""

    media_type: str
    ending: str
    writer: Callable[[io.BytesIO, pa.Schema], Any]


FORMS = {
    "csv": Form(CSV, "csv", pa.csv.CSVWriter),
    "arrow": Form(ARROW, "arrows", pa.ipc.new_stream),
}
router = APIRouter(tags=["lists"], responses=problems.COMMON)


CONTENT = {CSV: {"schema": {"type": "string"}}, ARROW: {"schema": {"type": "string"}}}
NOT_MODIFIED: dict[str, Any] = {"description": "What `If-None-Match` names is still the answer."}
Night = Annotated[
    date | None,
    Query(alias="date", description="The list's date; another than the newest is refused."),
]
FormName = Annotated[Literal["csv", "arrow"], Query(alias="format")]


class Question(NamedTuple):
    """What a request for a stream names."""

    request: Request
    release: Release
    experiment: str
    campaign: str
    night: date | None
    form: Literal["csv", "arrow"]
    known: str  # the request's If-None-Match


def ask(  # noqa: PLR0913, PLR0917 - what names a list, and how it is sent
    request: Request,
    release: CurrentRelease,
    experiment: Annotated[Label, Path()],
    campaign: Annotated[Label, Path()],
    night: Night = None,
    form: FormName = "csv",
    if_none_match: Annotated[str | None, Header()] = None,
) -> Question:
    """Read the parameters that all streams of a list have."""
    return Question(request, release, experiment, campaign, night, form, if_none_match or "")


@router.get(
    "/lists/{experiment}/{campaign}/treat",
    response_class=Response,
    responses={
        200: {
            "description": "A row for each user to treat, in the order of the list: their id as "
            "the file writes it, arm, campaign, decision_date and rank.",
            "content": CONTENT,
        },
        304: NOT_MODIFIED,
    },
)
async def users_to_treat(question: Annotated[Question, Depends(ask)]) -> Response:
    """Stream whom a campaign's newest list treats, without users who said no since it was made."""
    return await _stream(question, "treat", TREATED)


@router.get(
    "/lists/{experiment}/{campaign}/changes",
    response_class=Response,
    responses={
        200: {
            "description": "A row for each user whom the newest list and the one before treat "
            "differently: their id as the file writes it, change (enter, exit or arm), arm and "
            "previous_arm.",
            "content": CONTENT,
        },
        304: NOT_MODIFIED,
    },
)
async def changed_users(question: Annotated[Question, Depends(ask)]) -> Response:
    """Stream who entered, left or changed the treatment since the campaign's list before.

    Users who said no since the newest list was made leave it. Without a list before, everybody enters.
    """
    return await _stream(question, "changes", CHANGES)


async def _stream(question: Question, sheet: str, sql: str) -> Response:
    request, release, experiment, campaign, night, form, known = question
    model = release.model(experiment)
    register = Register(request.app.state.settings.register)
    kept_out = await run_in_threadpool(_kept_out, register, model)
    binds: dict[str, Any] = {"experiment": experiment, "campaign": campaign}
    newest = await run_in_threadpool(_newest, release, binds, night)
    tag = _tag(release.snapshot.snapshot_id, newest, f"{sheet}.{form}", binds, kept_out)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in [each.strip() for each in known.split(",")]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    sent_as = FORMS[form]
    name = f"{experiment}-{campaign}-{newest}-{sheet}.{sent_as.ending}"
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    binds |= {"kept_out": kept_out} | ({"decision_date": newest} if sheet == "changes" else {})
    pieces = _pieces(release, model, sent_as, sql, binds)
    first = await run_in_threadpool(next, pieces)  # what cannot be read is an error, not half a file
    return StreamingResponse(chain([first], pieces), headers=headers, media_type=sent_as.media_type)


def _kept_out(register: Register, model: PublishedModel) -> list[int]:
    """Return the users who must not be treated by what the register says now, ascending.

    Raises:
        UnavailableError: it cannot be read, so that nobody knows.
    """
    if not register.exists:
        return []
    try:
        entries = register.keeping_out(scopes_of(model.experiment), today())
    except RegisterError as error:
        raise UnavailableError(f"nobody knows whom not to treat: {error}") from error
    return sorted({entry.user_id for entry in entries})


def _newest(release: Release, binds: Mapping[str, object], night: date | None) -> date:
    """Return the date of a campaign's newest list.

    Raises:
        ProblemError: there is no such list.
    """
    rows = release.snapshot.rows(NEWEST, binds)
    if not rows:
        raise problems.ProblemError(
            HTTPStatus.NOT_FOUND,
            f"campaign = '{binds['campaign']}': {binds['experiment']} has no published list of this "
            "name; GET /lists names them",
        )
    newest: date = rows[0]["decision_date"]
    if night not in {None, newest}:
        raise problems.ProblemError(
            HTTPStatus.NOT_FOUND,
            f"date = {night}: the published list is of {newest}; leave date out, or read the exports",
        )
    return newest


def _tag(
    snapshot: str, newest: date, form: str, binds: Mapping[str, object], kept_out: list[int]
) -> str:
    """Return the name of an answer's content, as an ETag."""
    parts = [snapshot, newest, form, *binds.values(), *kept_out]
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def _pieces(
    release: Release, model: PublishedModel, form: Form, sql: str, binds: Mapping[str, Any]
) -> Iterator[bytes]:
    """Yield the rows, piece by piece, so that a list of any length needs little memory."""
    user_id, joins = release.snapshot.own_id_sql(model.experiment, "listed")
    sql = sql.format(user_id=user_id or "listed.user_id", joins=joins)
    buffer = io.BytesIO()
    with release.snapshot.reader(sql, binds, ROWS) as reader:
        with form.writer(buffer, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
                yield _taken(buffer)
        yield _taken(buffer)


def _taken(buffer: io.BytesIO) -> bytes:
    content = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return content
