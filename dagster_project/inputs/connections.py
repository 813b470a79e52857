"""Connections to databases and folders that declarations name.

Their URIs, with the passwords, are in the environment or in a file that only its owner reads.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from uplift_core.artifacts.home import OTHERS
from uplift_core.errors import DataError

VARIABLE = "UPLIFT_CONNECTION_"  # and the connection's name in capitals
FILE_VARIABLE = "UPLIFT_CONNECTIONS_FILE"
# Scheme -> the package of its ADBC driver; any other scheme is tried by its name.
DRIVERS = {"postgres": "postgresql", "grpc": "flightsql", "grpc+tls": "flightsql"}
REASON = 400  # largest number of characters of a driver's message


def uri_of(key: str, connection: str) -> str:
    """Return a connection's URI, from the environment or from the file of connections.

    Args:
        key: the experiment and the key of its declaration that names the connection.
        connection: its name.

    Raises:
        DataError: it is in neither, or other accounts may read the file.
    """
    variable = VARIABLE + connection.upper()
    uri = os.environ.get(variable, "") or _in_file().get(connection, "")
    if not uri:
        raise DataError(
            f"{key} = '{connection}' is unknown; set {variable} to its URI, such as "
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


def driver_of(scheme: str) -> Any:
    """Import the ADBC driver of a URI's scheme.

    Raises:
        ModuleNotFoundError: it is not installed, see ``missing_driver``.
    """
    return import_module(f"adbc_driver_{DRIVERS.get(scheme, scheme)}.dbapi")


def is_postgres(uri: str) -> bool:
    """Return whether a URI is PostgreSQL's."""
    scheme = uri.partition("://")[0]
    return DRIVERS.get(scheme, scheme) == "postgresql"


def missing_driver(error: ModuleNotFoundError) -> str:
    """Say which package of a driver is missing, and how it is installed."""
    package = (error.name or "").partition(".")[0].replace("_", "-")
    return f"needs the package {package}; install it, or the extra 'databases' for PostgreSQL and SQLite"


def quoted(table: str) -> str:
    """Quote the parts of a table's name: standard SQL, which all of these databases speak."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))


def reason_without_secrets(error: Exception, uri: str) -> str:
    """Return a driver's message in one line, without the URI and its password."""
    text = " ".join(str(error).split())
    secrets = {uri, urlsplit(uri).password or "", unquote(urlsplit(uri).password or "")}
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        text = re.sub(re.escape(secret), "***", text)
    return text[:REASON] or type(error).__name__
