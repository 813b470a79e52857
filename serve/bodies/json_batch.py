"""Read a batch in JSON user by user, and stop at the first user who is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import FailFast, TypeAdapter, ValidationError

from serve.bodies.json_stream import JsonReader
from serve.errors import RequestError, shown
from serve.problems import MAX_ERRORS
from serve.schemas.requests import BatchRequest, Cluster, UserId

LISTS = ("rows", "user_ids", "clusters")
USER_IDS: TypeAdapter[list[int | str]] = TypeAdapter(Annotated[list[UserId], FailFast()])
CLUSTERS: TypeAdapter[list[str | None]] = TypeAdapter(Annotated[list[Cluster | None], FailFast()])


def read_batch(body: bytes | bytearray, *, most_users: int, largest_row: int) -> BatchRequest:
    """Read the batch from a body; each row has at most ``largest_row`` characters.

    Raises:
        RequestError: the body is no JSON object, a user is wrong, or there are too many users.
        RequestValidationError: another member is wrong.
    """
    reader = JsonReader(body, largest_row)
    fields: dict[str, Any] = {}
    for name in reader.members():
        if name in fields:
            raise RequestError(f"{shown(name)}: sent twice; send it once")
        if name in LISTS and reader.is_list():
            fields[name] = _users(reader, name, most_users)
        else:
            fields[name] = reader.value()
        if len(fields) > len(BatchRequest.model_fields) + MAX_ERRORS:
            break  # most of them are unknown, which the validation below reports
    # The users are checked already: validate the rest of the request with the first user only.
    first = {
        name: users[:1] for name, users in fields.items() if name in LISTS and isinstance(users, list)
    }
    try:
        batch = BatchRequest.model_validate(fields | first)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error
    batch = batch.model_copy(update={name: fields[name] for name in first})
    if batch.clusters is not None and batch.rows is not None and len(batch.clusters) != len(batch.rows):
        raise RequestError(
            f"clusters: {len(batch.clusters)} for {len(batch.rows)} rows; send one for each, null where "
            "it is not known"
        )
    return batch


def _users(reader: JsonReader, name: str, most_users: int) -> list[Any]:
    users: list[Any] = []
    for entries in reader.entries():
        users += READ[name](entries, len(users))
        if len(users) > most_users:
            raise RequestError(
                f"{name}: more than {most_users} users; send from 1 to {most_users} at once"
            )
    return users


def _rows(entries: list[object], before: int) -> list[object]:
    for place, entry in enumerate(entries, before):
        if not isinstance(entry, dict):
            raise RequestError(f"rows[{place}] = {shown(entry)}: must be an object of attributes")
    return entries


def _user_ids(entries: list[object], before: int) -> list[int | str]:
    try:
        return USER_IDS.validate_python(entries, strict=True)
    except ValidationError as error:
        place = int(error.errors(include_url=False)[0]["loc"][0])
        raise RequestError(
            f"user_ids[{before + place}] = {shown(entries[place])}: must be a whole number from 0 to "
            f"{2**63 - 1}, or a text of 1 to 256 characters"
        ) from error


def _clusters(entries: list[object], before: int) -> list[str | None]:
    try:
        return CLUSTERS.validate_python(entries, strict=True)
    except ValidationError as error:
        place = int(error.errors(include_url=False)[0]["loc"][0])
        raise RequestError(
            f"clusters[{before + place}] = {shown(entries[place])}: must be a text of 1 to 512 "
            "characters, or null"
        ) from error


READ: dict[str, Callable[[list[object], int], Sequence[object]]] = {
    "rows": _rows,
    "user_ids": _user_ids,
    "clusters": _clusters,
}
