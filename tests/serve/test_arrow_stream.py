"""What an Arrow stream declares is looked at before it is believed."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pyarrow as pa
import pytest

from bench.streams import crashing_stream, messages_of, odd_streams, stream_of, valid_streams
from serve.attributes import RawSchema
from serve.bodies import arrow_metadata
from serve.bodies.arrow_metadata import Limits, check
from serve.bodies.arrow_stream import read_stream
from serve.errors import RequestError
from uplift_core.artifacts.bundle import RawColumn

USER = {"age": 30, "spent": 1.5, "town": "Oslo", "shop": "Web"}
TYPES = {"age": "INTEGER", "spent": "DOUBLE", "town": "VARCHAR", "shop": "VARCHAR"}
LIMITS = Limits(users=1000, columns=4, size=100_000)


def schema_of(**types: str) -> RawSchema:
    return RawSchema.of("trial", [RawColumn(name=name, type=type_) for name, type_ in types.items()])


def read(stream: bytes, most_bytes: int = 100_000) -> pa.Table:
    return read_stream(stream, schema_of(**TYPES), most_users=1000, most_bytes=most_bytes)


def table_of(n: int, **columns: pa.Array) -> pa.Table:
    return pa.table({name: pa.array([value] * n) for name, value in USER.items()} | columns)


def coded(texts: Sequence[str], places: Sequence[int]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), pa.array(texts))


def test_what_clients_write_is_read_without_dictionaries() -> None:
    *streams, deltas, old = valid_streams(USER)
    for stream in streams:
        table = read(stream)
        assert table.num_rows == 40
        assert table.slice(0, 1).to_pylist() == [USER]
        assert not any(pa.types.is_dictionary(type_) for type_ in table.schema.types)
    assert read(deltas).num_rows == 80  # of equal dictionaries there is no delta
    with pytest.raises(RequestError, match=r"Arrow 1\.0"):
        read(old)


@pytest.mark.parametrize("kind", odd_streams(USER))
def test_what_no_attribute_asks_for_is_refused(kind: str) -> None:
    with pytest.raises(
        RequestError, match=r"^rows: column 2 is nested|^rows.town is |^rows: column 'town'"
    ):
        read(odd_streams(USER)[kind])


def test_a_text_outside_of_its_buffer_is_refused() -> None:
    with pytest.raises(RequestError, match="no Arrow stream that can be read: In column 2"):
        read(crashing_stream(USER))


@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
def test_size_is_counted_before_anything_is_decompressed(codec: str | None) -> None:
    long = table_of(30, town=pa.array(["a" * 10_000] * 30))
    allocated = pa.total_allocated_bytes()
    for rows in (0, 1):
        stream = stream_of(long, rows=rows, compression=codec)
        assert codec is None or len(stream) < 60_000
        with pytest.raises(RequestError, match="more than 100000 bytes once decompressed"):
            read(stream)
    assert pa.total_allocated_bytes() - allocated < 1_000_000
    assert read(stream_of(table_of(30), compression=codec)).num_rows == 30


def test_a_long_text_of_a_dictionary_is_not_written_out_for_all() -> None:
    few = stream_of(table_of(5, town=coded(["a" * 10_000, "b"], [0, 1, 1, 1, 0])))
    assert read(few).column("town").to_pylist()[::4] == ["a" * 10_000] * 2
    many = stream_of(table_of(11, town=coded(["a" * 10_000], [0] * 11)))
    with pytest.raises(RequestError, match=r"rows\.'town': more than 100000 bytes without"):
        read(many)


def test_users_are_counted_over_all_record_batches() -> None:
    assert read(stream_of(table_of(1000), rows=100)).num_rows == 1000
    with pytest.raises(RequestError, match="1001 users and perhaps more; send from 1 to 1000"):
        read(stream_of(table_of(1001), rows=1), most_bytes=1_000_000)
    nobody = table_of(3, town=pa.nulls(3))
    assert read(stream_of(nobody)).column("town").null_count == 3


def test_messages_and_repeated_work_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_of(table_of(500), rows=1)
    check(stream, LIMITS)
    monkeypatch.setattr(arrow_metadata, "MAX_MESSAGES", 500)
    with pytest.raises(RequestError, match="more than 500 messages"):
        check(stream, LIMITS)
    large = stream_of(table_of(40, town=coded(["a" * 50_000], [0] * 40)), rows=1)
    with pytest.raises(RequestError, match="large dictionaries in many record batches"):
        check(large, LIMITS)


def test_dictionaries_in_parts_and_huge_ones_are_refused() -> None:
    first = table_of(2, town=coded(["a", "b"], [0, 1]))
    second = table_of(2, town=coded(["a", "b", "c"], [0, 2]))
    parts = stream_of(pa.concat_tables([first, second]), emit_dictionary_deltas=True)
    with pytest.raises(RequestError, match="deltas"):
        read(parts)
    assert read(stream_of(pa.concat_tables([first, second]))).column("town").to_pylist() == [*"abac"]
    with pytest.raises(RequestError, match="a dictionary of more than 1000 values"):
        read(stream_of(table_of(1, town=coded([str(i) for i in range(1001)], [0]))))


@pytest.mark.parametrize(
    ("type_", "column", "readable"),
    [
        ("INTEGER", pa.array([1, None], pa.uint8()), True),
        ("INTEGER", pa.array([1.0, None]), True),
        ("INTEGER", pa.array(["1", "2"]), False),
        ("INTEGER", pa.array([True, False]), False),
        ("DOUBLE", pa.array([1, 2], pa.decimal128(5, 2)), True),
        ("BOOLEAN", pa.array([1, 0]), False),
        ("BOOLEAN", pa.array([True, None]), True),
        ("VARCHAR", pa.array(["a", "b"], pa.large_string()), True),
        ("VARCHAR", pa.array([1, 2]), False),
        ("DATE", pa.array(["2026-01-31", None]), True),
        ("DATE", pa.array([1, 2], pa.timestamp("us")), False),
        ("TIMESTAMP", pa.array([1, 2], pa.timestamp("s")), True),
        ("TIMESTAMP", pa.array([1, 2], pa.timestamp("s", "Europe/Oslo")), False),
        ("TIMESTAMP", pa.nulls(2), True),
    ],
    ids=str,
)
def test_types_are_taken_as_in_json_and_nothing_is_bent(
    type_: str, column: pa.Array, readable: bool
) -> None:
    schema, stream = schema_of(a=type_), stream_of(pa.table({"a": column}))
    if readable:
        table = read_stream(stream, schema, most_users=2, most_bytes=1000)
        assert len(schema.arrow(table)["a"]) == 2
    else:
        with pytest.raises(
            RequestError, match=rf"^rows\.a is {column.type}: must be ".replace("[", r"\[")
        ):
            read_stream(stream, schema, most_users=2, most_bytes=1000)


def test_numbers_beyond_all_limits_are_told() -> None:
    schema = RawSchema.of("trial", [RawColumn(name="a", type="INTEGER", low=0, high=9)])
    table = pa.table({"a": pa.array([1, 2**62, 2**63 + 5], pa.uint64())})
    with pytest.raises(
        RequestError, match=r"rows\[1\]\.a = 4611686018427387904: .*\(and so of 1 more\)"
    ):
        schema.arrow(table)


# A flatbuffer may refer to one text, or to one column, as often as it likes: a small one can describe a
# very large schema. No writer makes such ones, so they are put together here.


def table(*fields: bytes | int | None) -> list[bytes | int | None]:
    return list(fields)


def flatbuffer(root: list, *, pad: int = 8) -> bytes:
    """Bytes of a table; its fields are plain bytes, or objects that are written behind it."""
    out = bytearray(struct.pack("<I", 0))
    places: dict[int, int] = {}
    waiting: list[tuple[int, object]] = [(0, root)]
    while waiting:
        slot, value = waiting.pop(0)
        if id(value) not in places:
            out += bytes(-len(out) % pad)
            places[id(value)] = _write(out, value, waiting)
        struct.pack_into("<I", out, slot, places[id(value)] - slot)
    return bytes(out + bytes(-len(out) % pad))


def _write(out: bytearray, value: object, waiting: list[tuple[int, object]]) -> int:
    if isinstance(value, str):
        place = len(out)
        out += struct.pack("<I", len(value)) + value.encode() + b"\0"
        return place
    if isinstance(value, tuple):  # a vector of objects
        place = len(out)
        out += struct.pack("<I", len(value)) + bytes(4 * len(value))
        waiting += [(place + 4 + 4 * i, entry) for i, entry in enumerate(value)]
        return place
    assert isinstance(value, list)
    sizes = [0 if field is None else len(field) if isinstance(field, bytes) else 4 for field in value]
    offsets, end = [], 4
    for size in sizes:
        end += -end % max(size, 1)
        offsets.append(end if size else 0)
        end += size
    out += struct.pack(f"<HH{len(value)}H", 4 + 2 * len(value), end, *offsets)
    out += bytes(-len(out) % 8)
    place = len(out)
    out += bytes(end)
    struct.pack_into("<i", out, place, 4 + 2 * len(value) + (-(4 + 2 * len(value)) % 8))
    for field, offset in zip(value, offsets, strict=True):
        if isinstance(field, bytes):
            out[place + offset : place + offset + len(field)] = field
        elif field is not None:
            waiting.append((place + offset, field))
    return place


def stream_with(schema: list, notes: tuple = ()) -> bytes:
    """A stream of one message, a schema."""
    v5, kind, no_body = struct.pack("<h", 4), b"\1", struct.pack("<q", 0)
    message = flatbuffer(table(v5, kind, schema, no_body, notes or None))
    return b"\xff\xff\xff\xff" + struct.pack("<I", len(message)) + message


def column(name: str, children: tuple = (), notes: tuple = ()) -> list:
    """A column of whole numbers."""
    whole = table(struct.pack("<i", 32), b"\1")
    return table(name, b"\1", b"\2", whole, None, children or None, notes or None)


def test_the_hand_made_schema_is_arrows() -> None:
    stream = stream_with(table(None, (column("age"), column("spent")), (table("key", "value"),)))
    with pa.ipc.open_stream(stream) as reader:
        assert reader.schema.names == ["age", "spent"]
        assert reader.schema.metadata == {b"key": b"value"}
    check(stream, LIMITS)


def test_a_text_that_is_referred_to_often_counts_as_often() -> None:
    long = "x" * 40_000
    note, often = table(long, "value"), 60
    for stream in (
        stream_with(table(None, (column("age"),), (note,) * often)),
        stream_with(table(None, (column("age"),)), (note,) * often),
        stream_with(table(None, (column("age", notes=(note,) * often),))),
        stream_with(table(None, (column(long),) * often)),
    ):
        assert len(stream) < 60_000
        with pytest.raises(RequestError, match=r"bytes(; leave it out)?$"):
            check(stream, Limits(users=1, columns=1000, size=1000))
    with pytest.raises(RequestError, match="more than 1000 entries"):
        check(stream_with(table(None, (column("age"),), (table("a", "b"),) * 1001)), LIMITS)


def test_columns_within_columns_are_refused_however_often_they_are_shared() -> None:
    inner = column("a")
    for level in range(12):
        inner = column(f"a{level}", children=(inner,) * 10)  # 10^12 columns
    with pytest.raises(RequestError, match="column 0 is nested"):
        check(stream_with(table(None, (inner,))), LIMITS)
    with pytest.raises(RequestError, match="rows: 5 columns; send 4"):
        check(stream_with(table(None, (column("a"),) * 5)), LIMITS)


def test_a_schema_is_limited_and_comes_first() -> None:
    stream = stream_of(table_of(3))
    schema, *records = messages_of(stream)
    for wrong in (b"".join(records), schema + stream):
        with pytest.raises(RequestError, match="metadata is damaged"):
            check(wrong, LIMITS)
    with pytest.raises(RequestError, match="metadata of more than"):
        check(b"\xff\xff\xff\xff" + struct.pack("<i", -5) + stream[8:], LIMITS)
    with pytest.raises(RequestError, match="FFFFFFFF"):
        check(stream[4:], LIMITS)
    with pytest.raises(RequestError, match="big-endian"):
        check(stream_with(table(struct.pack("<h", 1), (column("age"),))), LIMITS)
