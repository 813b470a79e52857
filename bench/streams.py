"""Write Arrow streams of users: as clients send them, and damaged ones."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import pyarrow as pa

USERS = 40
SIZES = (
    0,
    1,
    -1,
    7,
    8,
    255,
    2**15,
    2**16,
    2**31 - 1,
    -(2**31),
    2**31,
    2**32 - 1,
    2**62,
    2**63 - 1,
    -(2**63),
)
CONTINUATION = b"\xff\xff\xff\xff"


def stream_of(table: pa.Table, *, rows: int = 0, **options: object) -> bytes:
    """Write a table as a stream, in record batches of ``rows`` rows each (0: all in one)."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows or None)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def valid_streams(user: Mapping[str, object]) -> list[bytes]:
    """Write streams of the same users in all forms that clients use."""
    table = pa.Table.from_pylist([dict(user)] * USERS)
    texts = [name for name in table.column_names if pa.types.is_string(table.schema.field(name).type)]
    gaps = pa.table({name: pa.array([user[name], None] * (USERS // 2)) for name in table.column_names})
    coded, large = table, table
    for name in texts:
        place = table.column_names.index(name)
        coded = coded.set_column(place, name, table.column(name).dictionary_encode())
        large = large.set_column(place, name, table.column(name).cast(pa.large_string()))
    noted = table.replace_schema_metadata({"pandas": "{}", "a": "b" * 200})
    return [
        *(stream_of(each) for each in (table, gaps, coded, large, noted)),
        *(stream_of(each, compression=codec) for each in (table, coded) for codec in ("zstd", "lz4")),
        *(stream_of(each, rows=7) for each in (table, coded, gaps)),
        stream_of(pa.concat_tables([coded, coded]), emit_dictionary_deltas=True),
        stream_of(table, metadata_version=pa.ipc.MetadataVersion.V4),
    ]


def odd_streams(user: Mapping[str, object]) -> dict[str, bytes]:
    """Write well-formed streams with columns that no attribute allows, by what is odd about them."""
    name = next(key for key, value in user.items() if isinstance(value, str))
    text = str(user[name])
    odd = {
        "list": pa.array([[text]] * USERS),
        "struct": pa.array([{"a": text}] * USERS),
        "map": pa.array([[(text, 1)]] * USERS, pa.map_(pa.string(), pa.int64())),
        "view": pa.array([text] * USERS, pa.string_view()),
        "binary": pa.array([text.encode()] * USERS),
        "run-ends": pa.RunEndEncodedArray.from_arrays(pa.array([USERS], pa.int32()), pa.array([text])),
        "union": pa.UnionArray.from_sparse(pa.array([0] * USERS, pa.int8()), [pa.array([text] * USERS)]),
        "extension": pa.ExtensionArray.from_storage(pa.json_(), pa.array([text] * USERS)),
        "duration": pa.array([1] * USERS, pa.duration("s")),
        "dictionary of structs": pa.DictionaryArray.from_arrays(
            pa.array([0] * USERS, pa.int8()), pa.array([{"a": text}])
        ),
        "dictionary of lists": pa.DictionaryArray.from_arrays(
            pa.array([0] * USERS, pa.int8()), pa.array([[text]])
        ),
    }
    plain = {key: pa.array([value] * USERS) for key, value in user.items()}
    streams = {kind: stream_of(pa.table(plain | {name: column})) for kind, column in odd.items()}
    twice = pa.Table.from_arrays([*plain.values(), plain[name]], names=[*plain, name])
    return streams | {"two columns of one name": stream_of(twice)}


def crashing_stream(user: Mapping[str, object]) -> bytes:
    """Write a stream in which one text begins before its buffer."""
    table = pa.Table.from_pylist([dict(user)] * USERS)
    name = next(key for key, value in user.items() if isinstance(value, str))
    offsets = table.column(name).chunk(0).buffers()[1].to_pybytes()[: 4 * (USERS + 1)]
    return stream_of(table).replace(offsets, struct.pack("<i", -1_500_000_000) + offsets[4:])


def messages_of(stream: bytes) -> list[bytes]:
    """Split a stream into its messages, without the end mark."""
    starts = [
        place for place in range(0, len(stream) - 4, 8) if stream[place : place + 4] == CONTINUATION
    ]
    return [stream[start:end] for start, end in pairwise([*starts, len(stream)])]


def damaged(streams: Sequence[bytes], rng: random.Random) -> bytes:
    """Damage one of the streams by one to three mutations."""
    stream = bytearray(rng.choice(streams))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if stream:
            stream = rng.choice(MUTATIONS)(stream, rng)
    return bytes(stream)


def _flip(stream: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 8))):
        stream[rng.randrange(len(stream))] ^= 1 << rng.randrange(8)
    return stream


def _truncate(stream: bytearray, rng: random.Random) -> bytearray:
    return stream[: rng.randrange(len(stream))]


def _overwrite(stream: bytearray, rng: random.Random) -> bytearray:
    """Replace a number of 2, 4 or 8 bytes (an offset, a length, a size) by an extreme one."""
    width = rng.choice((2, 4, 4, 8, 8))
    place = rng.randrange(max(len(stream) // width, 1)) * width
    number = rng.choice((*SIZES, len(stream), rng.randrange(-(2**31), 2**31)))
    stream[place : place + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")
    return stream


def _shift(stream: bytearray, rng: random.Random) -> bytearray:
    place = rng.randrange(len(stream))
    if rng.random() < 0.5:  # noqa: PLR2004 - both are equally likely
        del stream[place : place + rng.choice((1, 4, 8, 64))]
    else:
        stream[place:place] = rng.randbytes(rng.choice((1, 4, 8, 64)))
    return stream


def _copy(stream: bytearray, rng: random.Random) -> bytearray:
    length, source, target = (rng.randrange(1, 64), *(rng.randrange(len(stream)) for _ in range(2)))
    stream[target : target + length] = stream[source : source + length]
    return stream


def _rearrange(stream: bytearray, rng: random.Random) -> bytearray:
    """Move a message, repeat it or leave it out."""
    messages = messages_of(bytes(stream))
    if not messages:
        return stream
    moved = messages.pop(rng.randrange(len(messages)))
    for _ in range(rng.choice((0, 1, 2))):
        messages.insert(rng.randrange(len(messages) + 1), moved)
    return bytearray(b"".join(messages))


def _grow(stream: bytearray, rng: random.Random) -> bytearray:
    """Change a number by a small amount."""
    place = rng.randrange(max(len(stream) // 4, 1)) * 4
    number = int.from_bytes(stream[place : place + 4], "little") + rng.choice((-8, -1, 1, 8, 64, 4096))
    stream[place : place + 4] = (number % 2**32).to_bytes(4, "little")
    return stream


Mutation = Callable[[bytearray, random.Random], bytearray]
MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _truncate,
    _overwrite,
    _overwrite,
    _grow,
    _shift,
    _copy,
    _rearrange,
)
