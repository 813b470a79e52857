"""Check what an Arrow stream declares before any of it is allocated.

Arrow's reader trusts a stream: it decompresses a buffer into as many bytes as the buffer declares, and
copies a text as often as the metadata refers to it. So a few kilobytes can become gigabytes before a row
is counted. Therefore this module first adds up all that a stream declares, from its metadata alone
(https://arrow.apache.org/docs/format/Columnar.html). A stream that passes is small, flat and
little-endian; Arrow's validation then checks whether the declarations are true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from serve.bodies.flatbuffers import MalformedError, Table
from serve.errors import RequestError

MAX_MESSAGES = 10_000
MAX_METADATA = 2**20  # bytes of one message's metadata
MAX_NOTES = 1000  # pairs of key and value of a schema or a message
REPEATS = 16  # validation may read so many times the bytes of the largest body
CONTINUATION = b"\xff\xff\xff\xff"

# Numbers of fields and of kinds, from Arrow's Message.fbs and Schema.fbs.
SCHEMA, DICTIONARY, RECORDS = 1, 2, 3
VERSION, HEADER_TYPE, HEADER, BODY_LENGTH, MESSAGE_NOTES = 0, 1, 2, 3, 4
V5 = 4  # since Arrow 1.0; earlier formats declare compression in another place
ENDIANNESS, FIELDS, SCHEMA_NOTES = 0, 1, 2
NAME, TYPE_TYPE, TYPE, ENCODING, CHILDREN, FIELD_NOTES = 0, 2, 3, 4, 5, 6
TIMESTAMP, TIME_ZONE = 10, 1
FLAT = {1: "null", 2: "int", 3: "float", 5: "utf8", 6: "bool", 7: "decimal", 8: "date"}
FLAT |= {TIMESTAMP: "timestamp", 20: "large_utf8"}
DICTIONARY_ID, DICTIONARY_DATA, IS_DELTA = 0, 1, 2
LENGTH, NODES, BUFFERS, COMPRESSION = 0, 1, 2, 3
KEY, VALUE = 0, 1


@dataclass(frozen=True)
class Limits:
    """The most that a stream may declare: users, columns, and bytes once decompressed."""

    users: int
    columns: int
    size: int


@dataclass
class _Totals:
    """Sums of what a stream has declared so far."""

    users: int = 0
    size: int = 0
    looked_at: int = 0
    dictionaries: dict[int, int] = field(default_factory=dict)  # bytes by id


def check(body: bytes | bytearray, limits: Limits) -> None:
    """Refuse a stream that declares too much, or other columns than flat ones.

    Raises:
        RequestError: says what is too large, or what is wrong.
    """
    totals = _Totals()
    try:
        for count, (message, content) in enumerate(_messages(body)):
            if count == MAX_MESSAGES:
                raise RequestError(
                    f"body: more than {MAX_MESSAGES} messages; send larger record batches"
                )
            _check_message(message, content, totals, limits, first=count == 0)
    except MalformedError as error:
        raise RequestError("body: no Arrow stream that can be read: its metadata is damaged") from error


def _check_message(
    message: Table, content: memoryview, totals: _Totals, limits: Limits, *, first: bool
) -> None:
    kind, header = message.number(HEADER_TYPE, "B"), message.table(HEADER)
    if header is None or (kind == SCHEMA) != first:
        raise MalformedError
    if kind == SCHEMA:
        _check_schema(header, limits)
    elif kind == DICTIONARY:
        _check_dictionary(header, content, totals, limits)
    elif kind == RECORDS:
        _check_records(header, content, totals, limits)
    else:
        raise MalformedError


def _messages(body: bytes | bytearray) -> Iterator[tuple[Table, memoryview]]:
    """Yield metadata and content of each message, up to the end of the stream."""
    view, place = memoryview(body), 0
    while place < len(view):
        if view[place : place + 4] != CONTINUATION:
            raise RequestError(
                "body: no Arrow stream that can be read: a message does not begin with FFFFFFFF, "
                "as it does since Arrow 0.15"
            )
        length = int.from_bytes(view[place + 4 : place + 8], "little")
        if length == 0:
            return
        place += 8
        if length > MAX_METADATA:
            raise RequestError(f"body: a message has metadata of more than {MAX_METADATA} bytes")
        if place + length > len(view):
            raise MalformedError
        message = Table.root(view[place : place + length])
        if message.number(VERSION, "h") != V5:
            raise RequestError("body: not of the format V5; write the stream with Arrow 1.0 or later")
        _check_notes(message, MESSAGE_NOTES)
        place += length
        size = message.number(BODY_LENGTH, "q")
        if not 0 <= size <= len(view) - place:
            raise MalformedError
        yield message, view[place : place + size]
        place += size


def _check_schema(schema: Table, limits: Limits) -> None:
    if schema.number(ENDIANNESS, "h"):
        raise RequestError("body: numbers are big-endian; send them little-endian")
    if schema.length(FIELDS) > limits.columns:
        raise RequestError(f"rows: {schema.length(FIELDS)} columns; send {limits.columns}")
    copied = _check_notes(schema, SCHEMA_NOTES)
    for place, column in enumerate(schema.tables(FIELDS)):
        kind, type_ = column.number(TYPE_TYPE, "B"), column.table(TYPE)
        if kind not in FLAT or type_ is None or column.length(CHILDREN):
            raise RequestError(
                f"rows: column {place} is nested, a view or of another type that no attribute has; "
                "send numbers, texts, flags, dates or timestamps, or a dictionary of these"
            )
        zone = type_.length(TIME_ZONE) if kind == TIMESTAMP else 0
        copied += column.length(NAME) + zone + _check_notes(column, FIELD_NOTES)
        if copied > MAX_METADATA:
            raise RequestError(f"body: a schema of more than {MAX_METADATA} bytes")


def _check_notes(table: Table, field: int) -> int:
    """Check the custom metadata of a message, a schema or a column; return its size in bytes."""
    if table.length(field) > MAX_NOTES:
        raise RequestError(f"body: custom metadata of more than {MAX_NOTES} entries; leave it out")
    size = sum(pair.length(KEY) + pair.length(VALUE) for pair in table.tables(field))
    if size > MAX_METADATA:
        raise RequestError(f"body: custom metadata of more than {MAX_METADATA} bytes; leave it out")
    return size


def _check_dictionary(header: Table, content: memoryview, totals: _Totals, limits: Limits) -> None:
    values = header.table(DICTIONARY_DATA)
    if values is None:
        raise MalformedError
    if header.number(IS_DELTA, "B"):
        raise RequestError("rows: a dictionary is sent in parts (as deltas); send it whole")
    if not 0 <= values.number(LENGTH, "q") <= limits.users:
        raise RequestError(f"rows: a dictionary of more than {limits.users} values")
    key = header.number(DICTIONARY_ID, "q")
    totals.dictionaries[key] = _size(values, content, limits)
    _add(totals, totals.dictionaries[key], totals.dictionaries[key], limits)


def _check_records(records: Table, content: memoryview, totals: _Totals, limits: Limits) -> None:
    users = records.number(LENGTH, "q")
    if users < 0:
        raise MalformedError
    totals.users += users
    if totals.users > limits.users:
        raise RequestError(
            f"rows: {totals.users} users and perhaps more; send from 1 to {limits.users} at once"
        )
    size = _size(records, content, limits)
    _add(totals, size, size + sum(totals.dictionaries.values()), limits)


def _size(records: Table, content: memoryview, limits: Limits) -> int:
    """Add up the bytes of a batch's buffers once decompressed."""
    if records.length(NODES) > limits.columns or records.length(BUFFERS) > 3 * limits.columns:
        raise MalformedError
    compressed, size = records.table(COMPRESSION) is not None, 0
    for offset, length in records.structs(BUFFERS, "qq"):
        if offset < 0 or length < 0 or offset + length > len(content):
            raise MalformedError
        plain = length
        if compressed and length >= 8:  # noqa: PLR2004 - a buffer begins with its size in 8 bytes
            plain = int.from_bytes(content[offset : offset + 8], "little", signed=True)
            plain = length if plain == -1 else plain  # -1: this buffer is not compressed
        if plain < 0:
            raise MalformedError
        size += plain
    return size


def _add(totals: _Totals, size: int, looked_at: int, limits: Limits) -> None:
    totals.size += size
    totals.looked_at += looked_at
    if totals.size > limits.size:
        raise RequestError(
            f"body: more than {limits.size} bytes once decompressed; send fewer users at once"
        )
    if totals.looked_at > REPEATS * limits.size:
        raise RequestError("body: large dictionaries in many record batches; send fewer, larger batches")
