"""A table of a database, read by Arrow batches into a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from dagster_project.inputs.connections import (
    VARIABLE,
    driver_of,
    is_postgres,
    missing_driver,
    quoted,
    reason_without_secrets,
    uri_of,
)
from dagster_project.inputs.own_files import SourceFile
from uplift_core.artifacts.files import sha256_file
from uplift_core.errors import DataError
from uplift_core.experiment.sources import TableSource

SQLITE, DUCKDB = "sqlite", "duckdb"
ONE_SNAPSHOT = "set transaction isolation level repeatable read read only"


def copy_table(name: str, source: TableSource, cache: Path, *, key: str = "source") -> SourceFile:
    """Copy a table into a Parquet file of ``cache``, batch by batch, all of it at one moment.

    Args:
        name: the experiment.
        source: the connection and the table.
        key: the table of the declaration that names them.
        cache: folder of the file.

    Raises:
        DataError: the connection is unknown or fails, or there is no such table: names the connection,
            the table and the remedy, and no password.
    """
    uri = uri_of(f"{name}: {key}.connection", source.connection)
    where = f"{name}: {key}.connection = '{source.connection}', {key}.table = '{source.table}'"
    file = f"{name}.parquet" if key == "source" else f"{name}-{key}.parquet"
    path, aside = cache / file, cache / f".{file}.part"
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with (
            _reader(uri, f"select * from {quoted(source.table)}") as reader,
            pq.ParquetWriter(aside, reader.schema) as writer,
        ):
            for batch in reader:
                writer.write_batch(batch)
    except ModuleNotFoundError as error:
        raise DataError(f"{where}: {missing_driver(error)}") from error
    except Exception as error:  # noqa: BLE001 - each driver has errors of its own
        aside.unlink(missing_ok=True)
        raise DataError(
            f"{where}: cannot be read: {reason_without_secrets(error, uri)}; correct the "
            f"table's name, or the URI in {VARIABLE}{source.connection.upper()}"
        ) from None  # the cause may show the password
    aside.replace(path)
    return SourceFile(path, sha256_file(path), is_copy=True)


@contextmanager
def _reader(uri: str, sql: str) -> Iterator[pa.RecordBatchReader]:
    """Run a query in a transaction that only reads; yield its rows by batches."""
    scheme, _, rest = uri.partition("://")
    if scheme == DUCKDB:
        with duckdb.connect(rest, read_only=True) as con:
            yield con.sql(sql).to_arrow_reader()
        return
    driver = driver_of(scheme)
    target = f"file:{quote(rest)}?mode=ro" if scheme == SQLITE else uri
    with driver.connect(target) as con, con.cursor() as cursor:
        if is_postgres(uri):
            cursor.execute(ONE_SNAPSHOT)
        cursor.execute(sql)
        yield cursor.fetch_record_batch()
