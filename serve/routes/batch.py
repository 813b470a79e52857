"""``/score/batch``: many users at once, as JSON or Arrow."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http import HTTPStatus
from secrets import token_hex
from typing import Annotated

import pyarrow as pa
from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic_core import to_json

from serve import problems
from serve.answering import COLUMNS, arrow_table, best_arm_of, columns_of, list_of
from serve.bodies.arrow_stream import clusters_in, read_stream
from serve.bodies.json_batch import read_batch
from serve.dependencies import CurrentFollower, CurrentRelease, CurrentTelemetry
from serve.errors import RequestError, ServiceError
from serve.following import Follower
from serve.release import Release
from serve.schemas.answers import Decisions
from serve.schemas.requests import BatchRequest, Budget, Label, Target
from serve.scoring import Job, Scored, resolve, score
from serve.settings import Settings
from serve.telemetry import Telemetry

MAX_CONCURRENT = 4  # batches that are worked on; others wait, so that memory stays bounded
# Reading and writing JSON holds the interpreter: threads would only delay each other and the event loop.
# So one batch at a time does it. Scoring releases the interpreter.
_interpreting = threading.Lock()
PIECE = 10_000  # entries of a list that are written in one step
ARROW = "application/vnd.apache.arrow.stream"
BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": problems.reference(BatchRequest)},
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
    """Read the target from the query: for an Arrow body, or a GET."""
    return Target(experiment=experiment, budget=budget, arm=arm, learner=learner)


QueryTarget = Annotated[Target, Depends(query_target)]


@dataclass(frozen=True)
class _Call:
    """One request for a batch, with the parts of the service that answer it."""

    request: Request
    body: bytearray
    target: Target
    release: Release
    follower: Follower
    telemetry: Telemetry

    @property
    def settings(self) -> Settings:
        """The service's settings."""
        settings: Settings = self.request.app.state.settings
        return settings


@router.post(
    "/score/batch",
    response_model=Decisions,
    # The docstring alone says that 200 may be an Arrow stream: with two types in the description,
    # generated clients in typed languages would have to distinguish them in every answer.
    responses=problems.responses(HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    openapi_extra={"requestBody": BODY},
)
async def score_batch(
    request: Request,
    target: QueryTarget,
    release: CurrentRelease,
    follower: CurrentFollower,
    telemetry: CurrentTelemetry,
) -> Response:
    """Score many users at one budget; answers come in the order of the users.

    JSON names the target in the body. An Arrow stream has a column per attribute and names the target
    in the query; a text column `cluster` beside them is what `clusters` is in JSON.
    `Accept: application/vnd.apache.arrow.stream` answers in Arrow, with the columns score, response and
    treat, with bags also cate_std_error, with `arm=best` also arm, by `user_ids` or with clusters also
    score_treat, role, reason, listed_decision, listed_treated, listed_rank and listed_reason, and the
    rest of the answer in the header X-Decision.
    """
    body = bytearray()
    async for part in request.stream():  # request.body() would copy all of it at once
        body += part
    call = _Call(request, body, target, release, follower, telemetry)
    return await to_thread.run_sync(_answer, call, limiter=request.app.state.batches)


def _answer(call: _Call) -> Response:
    """Do all of the work, in a thread, so that the event loop answers others meanwhile."""
    request = call.request
    job, scored = _scored(call)
    decision_id, request_id = token_hex(16), request.state.request_id
    with _interpreting:
        call.telemetry.decided(job, scored, decision_id, request_id)
    columns = columns_of(scored)
    in_arrow = ARROW in request.headers.get("accept", "")
    answer = Decisions(
        **job.labels(),
        stale=call.follower.is_stale(call.release),
        request_id=request_id,
        decision_id=decision_id,
        listed_in=list_of(scored.known),
        best_arm=best_arm_of(job),
        **{COLUMNS[name]: [] if in_arrow else column.tolist() for name, column in columns.items()},
    )
    if not in_arrow:
        with _interpreting:
            return Response(_in_pieces(answer), media_type="application/json")
    sink = pa.BufferOutputStream()
    table = arrow_table(columns)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    rest = answer.model_dump_json(exclude={*COLUMNS.values()}, ensure_ascii=True)
    return Response(sink.getvalue().to_pybytes(), media_type=ARROW, headers={"X-Decision": rest})


def _in_pieces(answer: Decisions) -> bytes:
    """Write the answer as JSON, its lists in pieces: 100,000 entries at once would delay others."""
    lists = {name: value for name, value in answer if isinstance(value, list)}
    parts = [answer.model_dump_json(exclude={*lists}).encode()[:-1]]
    for name, entries in lists.items():
        parts.append(f',"{name}":['.encode())
        for start in range(0, len(entries), PIECE):
            written = to_json(entries[start : start + PIECE])[1:-1]
            parts += [b",", written] if start else [written]
        parts.append(b"]")
    return b"".join([*parts, b"}"])


def _scored(call: _Call) -> tuple[Job, Scored]:
    kind = call.request.headers.get("content-type", "").partition(";")[0].strip()
    if kind == ARROW:
        job = _arrow_job(call)
    else:
        with _interpreting:
            job = _json_job(call, kind)
    (result,) = score([job])
    if isinstance(result, ServiceError):
        raise result
    return job, result


def _json_job(call: _Call, kind: str) -> Job:
    if kind != "application/json":
        raise problems.ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: must be application/json or {ARROW}"
        )
    settings = call.settings
    batch = read_batch(
        call.body, most_users=settings.max_batch_users, largest_row=settings.max_score_bytes
    )
    if batch.rows is not None:
        return resolve(call.release, batch, rows=batch.rows, prefix="rows").of_clusters(batch.clusters)
    return resolve(call.release, batch, users=batch.user_ids or ())


def _arrow_job(call: _Call) -> Job:
    settings = call.settings
    schema = call.release.model(call.target.experiment).features.schema
    table = read_stream(
        call.body,
        schema,
        most_users=settings.max_batch_users,
        most_bytes=settings.max_body_bytes,
    )
    if not table.num_rows:
        raise RequestError(f"rows: 0 users; send from 1 to {settings.max_batch_users} at once")
    return resolve(call.release, call.target, rows=table).of_clusters(clusters_in(table, schema))
