"""The first date of lists: the date of the home's first run, unless the settings name another.

Dagster counts every later date without a list as missing, so the first date must not be long ago.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import duckdb

from uplift_core.artifacts.files import replace_file
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import NothingPublishedError, read_pointer

MEMORY = "first_night"  # a file in the home


def first_night(home: Home, named: date | None = None) -> str:
    """Return the first date as YYYY-MM-DD: ``named``, or the remembered one; otherwise today (UTC)."""
    if named:
        return named.isoformat()
    try:
        return date.fromisoformat((home.root / MEMORY).read_text(encoding="ascii").strip()).isoformat()
    except FileNotFoundError:
        return _today()


def remember_first_night(home: Home) -> None:
    """Write the first date into the home: the date of its first published list, or today."""
    memory = home.root / MEMORY
    if not memory.exists():
        replace_file(memory, f"{_first_published(home) or _today()}\n".encode())


def _first_published(home: Home) -> str:
    """Return the date of the first published list; empty if nothing is published.

    A home can have published lists before it had this file.
    """
    try:
        snapshot = home.published / read_pointer(home.published).file
    except NothingPublishedError:
        return ""
    if not snapshot.is_file():
        return ""
    with duckdb.connect(str(snapshot), read_only=True) as con:
        ((first,),) = con.execute("select min(decision_date)::varchar from decisions.nights").fetchall()
    return str(first or "")


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
