"""``/lists/{experiment}/{campaign}/treat``: the users to treat, as a stream for tools that pull."""

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
from fastapi import APIRouter, Header, Path, Query, Request, Response
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
TREATED = """
select {user_id}, listed.arm, listed.campaign, listed.decision_date, listed.rank
from decisions.listed {joins}
where listed.experiment = $experiment and listed.campaign = $campaign and listed.treated
    and not exists (
        select 1 from unnest($kept_out::bigint[]) as kept_out (user_id)
        where kept_out.user_id = listed.user_id
    )
order by listed.rank, listed.user_id
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


@router.get(
    "/lists/{experiment}/{campaign}/treat",
    response_class=Response,
    responses={
        200: {
            "description": "A row for each user to treat, in the order of the list: their id as "
            "the file writes it, arm, campaign, decision_date and rank.",
            "content": {CSV: {"schema": {"type": "string"}}, ARROW: {"schema": {"type": "string"}}},
        },
        304: {"description": "What `If-None-Match` names is still the answer."},
    },
)
async def users_to_treat(  # noqa: PLR0913, PLR0917 - what names a list, and how it is sent
    request: Request,
    release: CurrentRelease,
    experiment: Annotated[Label, Path()],
    campaign: Annotated[Label, Path()],
    night: Annotated[
        date | None,
        Query(alias="date", description="The list's date; another than the newest is refused."),
    ] = None,
    form: Annotated[Literal["csv", "arrow"], Query(alias="format")] = "csv",
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Stream whom a campaign's newest list treats, without users who said no since it was made."""
    model = release.model(experiment)
    register = Register(request.app.state.settings.register)
    kept_out = await run_in_threadpool(_kept_out, register, model)
    binds = {"experiment": experiment, "campaign": campaign}
    newest = await run_in_threadpool(_newest, release, binds, night)
    tag = _tag(release.snapshot.snapshot_id, newest, form, binds, kept_out)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in [each.strip() for each in (if_none_match or "").split(",")]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    sent_as = FORMS[form]
    name = f"{experiment}-{campaign}-{newest}-treat.{sent_as.ending}"
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    pieces = _pieces(release, model, sent_as, {**binds, "kept_out": kept_out})
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
    release: Release, model: PublishedModel, form: Form, binds: Mapping[str, Any]
) -> Iterator[bytes]:
    """Yield the rows, piece by piece, so that a list of any length needs little memory."""
    user_id, joins = release.snapshot.own_id_sql(model.experiment, "listed")
    sql = TREATED.format(user_id=user_id or "listed.user_id", joins=joins)
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
