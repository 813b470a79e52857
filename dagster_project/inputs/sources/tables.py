"""A table of a database, read by Arrow batches into a Parquet file.

The declaration names a connection; its URI, with the password, is in the environment or in a file that
only its owner reads.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from dagster_project.inputs.own_files import SourceFile
from uplift_core.artifacts.files import sha256_file
from uplift_core.artifacts.home import OTHERS
from uplift_core.errors import DataError
from uplift_core.experiment.sources import TableSource

VARIABLE = "UPLIFT_CONNECTION_"  # and the connection's name in capitals
FILE_VARIABLE = "UPLIFT_CONNECTIONS_FILE"
# Scheme -> the package of its ADBC driver; any other scheme is tried by its name.
DRIVERS = {"postgres": "postgresql", "grpc": "flightsql", "grpc+tls": "flightsql"}
SQLITE, DUCKDB = "sqlite", "duckdb"
ONE_SNAPSHOT = "set transaction isolation level repeatable read read only"
REASON = 400  # largest number of characters of a driver's message


def copy_table(name: str, source: TableSource, cache: Path) -> SourceFile:
    """Copy a table into a Parquet file of ``cache``, batch by batch, all of it at one moment.

    Args:
        name: the experiment.
        source: the connection and the table.
        cache: folder of the file.

    Raises:
        DataError: the connection is unknown or fails, or there is no such table: names the connection,
            the table and the remedy, and no password.
    """
    uri = uri_of(name, source.connection)
    where = f"{name}: source.connection = '{source.connection}', source.table = '{source.table}'"
    path = cache / f"{name}.parquet"
    aside = cache / f".{name}.parquet.part"
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with (
            _reader(uri, f"select * from {_quoted(source.table)}") as reader,
            pq.ParquetWriter(aside, reader.schema) as writer,
        ):
            for batch in reader:
                writer.write_batch(batch)
    except ModuleNotFoundError as error:
        raise DataError(
            f"{where}: needs the package {(error.name or '').partition('.')[0].replace('_', '-')}; "
            "install it, or the extra 'databases' for PostgreSQL and SQLite"
        ) from error
    except Exception as error:  # noqa: BLE001 - each driver has errors of its own
        aside.unlink(missing_ok=True)
        raise DataError(
            f"{where}: cannot be read: {_reason(error, uri)}; correct the table's name, or the URI in "
            f"{VARIABLE}{source.connection.upper()}"
        ) from None  # the cause may show the password
    aside.replace(path)
    return SourceFile(path, sha256_file(path), is_copy=True)


def uri_of(name: str, connection: str) -> str:
    """Return a connection's URI, from the environment or from the file of connections.

    Raises:
        DataError: it is in neither, or other accounts may read the file.
    """
    variable = VARIABLE + connection.upper()
    uri = os.environ.get(variable, "") or _in_file().get(connection, "")
    if not uri:
        raise DataError(
            f"{name}: source.connection = '{connection}' is unknown; set {variable} to its URI, such as "
            f"postgresql://user:password@host/database, or write it to the file that {FILE_VARIABLE} "
            "names"
        )
    return uri


def _in_file() -> Mapping[str, str]:
    if not (named := os.environ.get(FILE_VARIABLE, "")):
        return {}
    path = Path(named).expanduser()
    try:
        if path.stat().st_mode & OTHERS:
            raise DataError(f"{path}: other accounts may read it; run chmod 600 {path}")
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{FILE_VARIABLE} = {path}: cannot be read ({type(error).__name__}); write lines such as "
            'shop = "postgresql://user:password@host/database"'
        ) from None
    return {key: str(value) for key, value in values.items()}


@contextmanager
def _reader(uri: str, sql: str) -> Iterator[pa.RecordBatchReader]:
    """Run a query in a transaction that only reads; yield its rows by batches."""
    scheme, _, rest = uri.partition("://")
    if scheme == DUCKDB:
        with duckdb.connect(rest, read_only=True) as con:
            yield con.sql(sql).to_arrow_reader()
        return
    driver = import_module(f"adbc_driver_{DRIVERS.get(scheme, scheme)}.dbapi")
    target = f"file:{quote(rest)}?mode=ro" if scheme == SQLITE else uri
    with driver.connect(target) as con, con.cursor() as cursor:
        if DRIVERS.get(scheme, scheme) == "postgresql":
            cursor.execute(ONE_SNAPSHOT)
        cursor.execute(sql)
        yield cursor.fetch_record_batch()


def _quoted(table: str) -> str:
    """Quote the parts of a table's name: standard SQL, which all of these databases speak."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))


def _reason(error: Exception, uri: str) -> str:
    """Return a driver's message in one line, without the URI and its password."""
    text = " ".join(str(error).split())
    secrets = {uri, urlsplit(uri).password or "", unquote(urlsplit(uri).password or "")}
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        text = re.sub(re.escape(secret), "***", text)
    return text[:REASON] or type(error).__name__
