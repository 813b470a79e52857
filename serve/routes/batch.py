"""``/score/batch``: many users at once, as JSON or Arrow."""

from __future__ import annotations

from http import HTTPStatus
from secrets import token_hex
from typing import Annotated

import pyarrow as pa
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from serve import problems
from serve.answers import COLUMNS, Decisions, arrow_table, columns_of, list_of
from serve.dependencies import CurrentFollower, CurrentRelease, CurrentTelemetry
from serve.errors import RequestError, ServiceError
from serve.release import Release
from serve.scoring import BatchRequest, Budget, Job, Label, Scored, Target, resolve, score

ARROW = "application/vnd.apache.arrow.stream"
SCHEMA = BatchRequest.model_json_schema(ref_template="#/components/schemas/{model}")
BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": SCHEMA},
        ARROW: {"schema": {"type": "string", "format": "binary"}},
    },
}
router = APIRouter(tags=["score"], responses=problems.COMMON)


async def query_target(
    experiment: Annotated[Label | None, Query()] = None,
    budget: Annotated[Budget | None, Query()] = None,
    arm: Annotated[Label | None, Query()] = None,
    learner: Annotated[Label | None, Query()] = None,
) -> Target:
    """The target where the query names it: of an Arrow body, of a GET."""
    return Target(experiment=experiment, budget=budget, arm=arm, learner=learner)


QueryTarget = Annotated[Target, Depends(query_target)]


@router.post(
    "/score/batch",
    response_model=Decisions,
    responses={
        HTTPStatus.OK: {"content": {ARROW: {}}},
        **problems.responses(HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    },
    openapi_extra={"requestBody": BODY},
)
async def score_batch(
    request: Request,
    target: QueryTarget,
    release: CurrentRelease,
    follower: CurrentFollower,
    telemetry: CurrentTelemetry,
) -> Response:
    """Score many users at one budget; the order is kept.

    JSON names the target in the body. An Arrow stream has a column per attribute and names the target
    in the query. `Accept: application/vnd.apache.arrow.stream` answers in Arrow, with the columns score,
    response and treat, by `user_ids` also score_treat, role, reason, listed_decision, listed_treated,
    listed_rank and listed_reason, and the rest of the answer in the header X-Decision.
    """
    most = request.app.state.settings.max_batch_users
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    body = await request.body()
    job, scored = await run_in_threadpool(_scored, release, target, kind, body, most)
    decision_id, request_id = token_hex(16), request.state.request_id
    telemetry.decided(job, scored, decision_id, request_id)
    columns = columns_of(scored)
    in_arrow = ARROW in request.headers.get("accept", "")
    answer = Decisions(
        **job.labels(),
        stale=follower.is_stale(release),
        request_id=request_id,
        decision_id=decision_id,
        listed_in=list_of(scored.known),
        **{} if in_arrow else {COLUMNS[name]: column.tolist() for name, column in columns.items()},
    )
    if not in_arrow:
        return Response(answer.model_dump_json(), media_type="application/json")
    sink = pa.BufferOutputStream()
    table = arrow_table(columns)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    rest = answer.model_dump_json(exclude={*COLUMNS.values()}, ensure_ascii=True)
    return Response(sink.getvalue().to_pybytes(), media_type=ARROW, headers={"X-Decision": rest})


def _scored(release: Release, target: Target, kind: str, body: bytes, most: int) -> tuple[Job, Scored]:
    job = (
        _arrow_job(release, target, body, most)
        if kind == ARROW
        else _json_job(release, kind, body, most)
    )
    (found,) = score([job])
    if isinstance(found, ServiceError):
        raise found
    return job, found


def _json_job(release: Release, kind: str, body: bytes, most: int) -> Job:
    if kind != "application/json":
        raise problems.ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: must be application/json or {ARROW}"
        )
    try:
        batch = BatchRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error
    _check_size(len(batch.rows or batch.user_ids or ()), most)
    if batch.rows is not None:
        return resolve(release, batch, rows=batch.rows, prefix="rows")
    return resolve(release, batch, users=batch.user_ids or ())


def _arrow_job(release: Release, target: Target, body: bytes, most: int) -> Job:
    try:
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
    except (pa.ArrowException, OSError) as error:
        raise RequestError(f"body: no Arrow stream that can be read: {error}") from error
    _check_size(table.num_rows, most)
    return resolve(release, target, rows=table)


def _check_size(users: int, most: int) -> None:
    if not 1 <= users <= most:
        raise RequestError(f"rows: {users} users; send from 1 to {most} at once")
