"""A batch that came as JSON: read user by user, and given up at the first that is wrong."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import FailFast, TypeAdapter, ValidationError

from serve.bodies.json_stream import JsonReader
from serve.errors import RequestError, shown
from serve.problems import MOST_ERRORS
from serve.schemas.requests import BatchRequest, UserId

LISTS = ("rows", "user_ids")
USER_IDS: TypeAdapter[list[int]] = TypeAdapter(Annotated[list[UserId], FailFast()])


def read_batch(body: bytes | bytearray, *, most_users: int, largest_row: int) -> BatchRequest:
    """The batch that a body describes; no row in it is of more than ``largest_row`` characters.

    Raises:
        RequestError: it is no JSON object, or holds a wrong or too many users.
        RequestValidationError: something else in it is wrong.
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
        if len(fields) > len(BatchRequest.model_fields) + MOST_ERRORS:
            break  # most of them are not known, which is told below
    # The users are checked; one of them stands for all while the rest of the request is.
    first = {
        name: users[:1] for name, users in fields.items() if name in LISTS and isinstance(users, list)
    }
    try:
        batch = BatchRequest.model_validate(fields | first)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error
    return batch.model_copy(update={name: fields[name] for name in first})


def _users(reader: JsonReader, name: str, most_users: int) -> list[Any]:
    users: list[Any] = []
    for entries in reader.entries():
        users += _user_ids(entries, len(users)) if name == "user_ids" else _rows(entries, len(users))
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


def _user_ids(entries: list[object], before: int) -> list[int]:
    try:
        return USER_IDS.validate_python(entries, strict=True)
    except ValidationError as error:
        place = int(error.errors(include_url=False)[0]["loc"][0])
        raise RequestError(
            f"user_ids[{before + place}] = {shown(entries[place])}: must be a whole number from 0 to "
            f"{2**63 - 1}, or its digits as text"
        ) from error
