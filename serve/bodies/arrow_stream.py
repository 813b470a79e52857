"""Read users from an untrusted Arrow stream."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from serve.attributes import RawSchema
from serve.bodies import arrow_metadata
from serve.bodies.arrow_metadata import Limits
from serve.errors import RequestError, shown

OPTIONS = pa.ipc.IpcReadOptions(ensure_alignment=pa.ipc.Alignment.DataTypeSpecific)
CLUSTER = "cluster"  # an optional column beside the attributes
REASON = 200  # characters of Arrow's error that an answer repeats
SURPLUS = 100  # columns beyond the expected ones that are still refused by name


def read_stream(
    body: bytes | bytearray, schema: RawSchema, *, most_users: int, most_bytes: int
) -> pa.Table:
    """Read the users of an Arrow stream: a validated, flat table without dictionaries.

    First, the declared sizes are added up. Then the columns are compared with those of the experiment.
    Then the record batches are read one by one, and each is fully validated before it is used.

    Raises:
        RequestError: the stream is damaged or too large, or its columns or types are wrong.
    """
    limits = Limits(users=most_users, columns=len(schema.columns) + SURPLUS, size=most_bytes)
    arrow_metadata.check(body, limits)
    try:
        with pa.ipc.open_stream(pa.py_buffer(body), options=OPTIONS) as reader:
            _check_columns(reader.schema, schema)
            batches = []
            for batch in reader:
                batch.validate(full=True)
                batches.append(batch)
            table = pa.Table.from_batches(batches, reader.schema)
        return _plain(table, most_bytes)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = ascii(str(error).partition("\n")[0][:REASON])[1:-1]
        raise RequestError(f"body: no Arrow stream that can be read: {reason}") from error


def _check_columns(sent: pa.Schema, schema: RawSchema) -> None:
    """Refuse columns that the experiment does not take, by name and by type."""
    names = [name for name in sent.names if name != CLUSTER or name in schema.columns]
    schema.check_names(names)
    if len(sent.names) - len(names) > 1:
        raise RequestError(f"rows: column '{CLUSTER}' is there more than once; send it once")
    for name, kind in schema.columns.items():
        type_ = sent.field(name).type
        values = type_.value_type if pa.types.is_dictionary(type_) else type_
        if not _readable_as(values, kind.arrow):
            raise RequestError(f"rows.{name} is {type_}: must be {schema.limits[name].expected}")


def clusters_in(table: pa.Table, schema: RawSchema) -> list[str | None] | None:
    """Return each user's cluster, of the column ``cluster``; None without it, or if it is an attribute.

    Raises:
        RequestError: it is no text, or an empty one.
    """
    if CLUSTER in schema.columns or CLUSTER not in table.column_names:
        return None
    column = table.column(CLUSTER)
    if not _readable_as(column.type, pa.string()):
        raise RequestError(f"rows.{CLUSTER} is {column.type}: must be a text, or null")
    clusters: list[str | None] = column.to_pylist()
    if "" in clusters:
        raise RequestError(
            f"rows[{clusters.index('')}].{CLUSTER} = '': must be a text of 1 character or more, or null"
        )
    return clusters


def _readable_as(sent: pa.DataType, target: pa.DataType) -> bool:
    """Whether an attribute of type ``target`` may be sent as type ``sent``, as it may be in JSON."""
    types = pa.types
    text = types.is_string(sent) or types.is_large_string(sent)
    if types.is_integer(target) or types.is_floating(target):
        fits = types.is_integer(sent) or types.is_floating(sent) or types.is_decimal(sent)
    elif types.is_date(target):
        fits = text or types.is_date(sent)
    elif types.is_timestamp(target):  # a zone would be dropped, which shifts the moment
        fits = text or (types.is_timestamp(sent) and sent.tz is None)
    else:
        fits = text if types.is_string(target) else sent == target
    return bool(fits or types.is_null(sent))


def _plain(table: pa.Table, most_bytes: int) -> pa.Table:
    """Replace each dictionary column by its values, one per user.

    Raises:
        RequestError: the values would be too large, because many users refer to a long text.
    """
    for place, column in enumerate(table.columns):
        if pa.types.is_dictionary(column.type):
            values = column.type.value_type
            if pa.types.is_string(values) or pa.types.is_large_string(values):
                size = sum(_written_out(part) for part in column.chunks)
                if size > most_bytes:
                    name = shown(table.field(place).name)
                    raise RequestError(
                        f"rows.{name}: more than {most_bytes} bytes without its dictionary; "
                        "send fewer users at once"
                    )
            table = table.set_column(place, table.field(place).name, column.cast(values))
    return table


def _written_out(part: pa.DictionaryArray) -> int:
    """Add up the bytes of the texts that a dictionary column refers to, one per user."""
    lengths = pc.binary_length(part.dictionary).cast(pa.int64())
    return int(pc.sum(lengths.take(part.indices)).as_py() or 0)
