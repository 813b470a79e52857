"""The register of consent: who must not be treated, why, until when, and who said so.

It is an SQLite file of the home, apart from the warehouse: people, commands and the service write it
while a run works. Entries are only added. The last entry of a user and a scope holds; a scope is one
experiment, or all of them. Each entry is written whole and through to the disk, or not at all.
"""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from uplift_core.artifacts.files import sync_folder
from uplift_core.errors import UpliftError
from uplift_core.experiment.declaration import Experiment

FORMAT = 1  # the file's user_version
ALL = ""  # the scope of all experiments
PATIENCE = 30.0  # seconds to wait for another writer
MUCH = 256 * 1024  # KiB, for many entries at once; users are spread over the whole file
MOST_TEXT = 200  # characters of a reason or a name
KEPT = "kept after an erasure"  # the reason of an entry that outlives its user's data
SCHEMA = f"""
create table entries (
    entry integer primary key autoincrement,
    experiment text not null, -- empty: all experiments
    user_id integer not null,
    action text not null check (action in ('suppress', 'lift')),
    reason text not null,
    made_by text not null,
    made_at text not null, -- ISO 8601, UTC
    until text -- last day in UTC, YYYY-MM-DD; null: no end
) strict;
create index entries_of_user on entries (user_id, experiment, entry);
create trigger entries_are_only_added before update on entries
begin select raise(abort, 'entries are only added'); end;
pragma user_version = {FORMAT};
"""
COLUMNS = "entry, experiment, user_id, action, reason, made_by, made_at, until"
LISTED = "(select value from json_each(?))"

Action = Literal["suppress", "lift"]


class RegisterError(UpliftError):
    """The register cannot be read or written."""


@dataclass(frozen=True)
class Wish:
    """What is to be entered about a user.

    Attributes:
        user_id: the user, as in the lists.
        experiment: the experiment; ``ALL`` for all.
        action: suppress, or lift an earlier suppression of the same scope.
        reason: why, such as unsubscribed.
        made_by: who says so.
        until: the last day of a suppression in UTC; None: no end.
    """

    user_id: int
    experiment: str
    action: Action
    reason: str
    made_by: str
    until: date | None = None

    def __post_init__(self) -> None:
        for name in ("reason", "made_by"):
            text = getattr(self, name)
            if not text.strip() or len(text) > MOST_TEXT or not text.isprintable():
                raise UpliftError(
                    f"{name} = {text[:MOST_TEXT]!r}: must be a text of 1 to {MOST_TEXT} characters, "
                    "without line breaks"
                )
        if self.until and self.action == "lift":
            raise UpliftError(f"until = {self.until}: a suppression is lifted at once; leave it out")


@dataclass(frozen=True, kw_only=True)
class Entry(Wish):
    """An entry of the register: its number and its time (UTC) besides what was entered."""

    entry: int
    made_at: datetime

    def __post_init__(self) -> None:
        """Check nothing: it was checked when it was entered."""

    def keeps_out(self, on: date) -> bool:
        """Return true if this entry, as the last of its scope, keeps its user out on a day (UTC)."""
        return self.action == "suppress" and (self.until is None or self.until >= on)


class Register:
    """The register in one file. Without the file nobody is suppressed by it; an entry creates it.

    Threads may use it at the same time. Connections for reading stay open and are used again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[tuple[int, sqlite3.Connection]] = []  # with the inode of their file

    @property
    def exists(self) -> bool:
        """Whether there is a file."""
        return self.path.exists()

    @property
    def last_entry(self) -> int:
        """The number of the last entry, also if it was erased since; 0 if there was none."""
        rows = self._read("select seq from sqlite_sequence where name = 'entries'", [])
        return int(rows[0][0]) if rows else 0

    def enter(self, wishes: Sequence[Wish]) -> list[Entry]:
        """Add entries, all of them or none; return them with their numbers.

        Raises:
            RegisterError: another process writes for too long, the disk is full, or the file is damaged.
        """
        now = datetime.now(UTC)
        with self._writing() as con:
            return _insert(con, wishes, now)

    def keeping_out(
        self, scopes: Sequence[str], on: date, users: Sequence[int] | None = None
    ) -> list[Entry]:
        """Return the entries that keep users out on a day (UTC): the last of each user and scope.

        Args:
            scopes: the experiments, and ``ALL``, whose entries count.
            on: the day.
            users: only these; None: everybody.
        """
        rows = self._read(*_last(scopes, users))
        return [entry for entry in map(_entry, rows) if entry.keeps_out(on)]

    def everything(self, scopes: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return all entries of these scopes in any order, as the file has them: see ``COLUMNS``.

        There may be millions: they are read as they lie in the file, which an index would not allow.
        """
        if not self.exists:
            return []
        sql = f"select {COLUMNS} from entries not indexed where experiment in {LISTED}"
        with _explained(self.path), self._open() as con:
            return con.execute(sql, [json.dumps(list(scopes))]).fetchall()

    def reasons(self, scopes: Sequence[str], on: date, users: Sequence[int]) -> dict[int, str]:
        """Return why users are kept out on a day (UTC): the reason of the entry that does so longest.

        Of equally long ones it is the experiment's; ``sql/decisions/registered.sql`` says the same of
        all users.

        Args:
            scopes: the experiments, and ``ALL``, whose entries count.
            on: the day.
            users: whom to look up; who is not kept out is left out.
        """
        last, binds = _last(scopes, users)
        # SQLite takes the reason from the row of the maximum.
        end = f"max(coalesce(until, '{date.max}') || (experiment <> '{ALL}'))"
        rows = self._read(
            f"select user_id, reason, {end} from ({last}) where action = 'suppress' "
            "and (until is null or until >= ?) group by user_id",
            [*binds, on.isoformat()],
        )
        return {user: reason for user, reason, _ in rows}

    def history(self, user: int, scopes: Sequence[str]) -> list[Entry]:
        """Return all entries about a user in these scopes, the oldest first."""
        rows = self._read(
            f"select {COLUMNS} from entries where user_id = ? and experiment in {LISTED} order by entry",
            [user, json.dumps(list(scopes))],
        )
        return [_entry(row) for row in rows]

    def erase(self, users: Sequence[int], experiment: str) -> tuple[int, int]:
        """Remove what is entered about users in one experiment, without a trace in the file.

        A suppression for all experiments that has no end, or still holds, must outlive this: of it stay
        user id, action and last day. What else is entered for all experiments goes, too.

        Returns:
            The numbers of entries that were removed, and of suppressions for all that stay.
        """
        if not self.exists:
            return 0, 0
        now = datetime.now(UTC)
        with self._writing() as con:
            last = [_entry(row) for row in con.execute(*_last([ALL], users))]
            holding = [entry for entry in last if entry.keeps_out(now.date())]
            bare = [entry.entry for entry in holding if entry.reason == KEPT]  # of an earlier erasure
            removed = con.execute(
                f"delete from entries where user_id in {LISTED} and experiment in {LISTED} "
                f"and entry not in {LISTED}",
                [json.dumps(list(users)), json.dumps([experiment, ALL]), json.dumps(bare)],
            ).rowcount
            for entry in holding:
                if entry.entry not in bare:
                    kept = Wish(entry.user_id, ALL, "suppress", KEPT, "erase", entry.until)
                    _insert(con, [kept], now)
        with _explained(self.path), self._open() as con:  # else the log of changes would still hold them
            con.execute("pragma wal_checkpoint(truncate)").fetchall()
        return removed, len(holding)

    def copy_to(self, target: Path) -> None:
        """Copy the register as it is at one moment, while others write it."""
        with _explained(self.path), self._open() as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)

    def _read(self, sql: str, binds: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            file = self.path.stat().st_ino
        except FileNotFoundError:
            return []
        with _explained(self.path):
            con = self._reader(file)
            rows = con.execute(sql, binds).fetchall()
        self._idle.append((file, con))
        return rows

    def _reader(self, file: int) -> sqlite3.Connection:
        """Return a connection to the file of this inode: an idle one, or a new one."""
        with suppress(IndexError):
            while True:
                known, con = self._idle.pop()
                if known == file:
                    return con
                con.close()
        return _connect(self.path)

    @contextmanager
    def _open(self, cache: int = 0) -> Iterator[sqlite3.Connection]:
        """Open a connection for this block; ``cache`` is in KiB, 0: as SQLite likes."""
        with closing(_connect(self.path)) as con:
            if cache:
                con.execute(f"pragma cache_size = -{cache}")
            yield con

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Write in one transaction; processes take turns."""
        with _explained(self.path):
            if not self.exists:
                _create(self.path)
            with self._open(cache=MUCH) as con:
                con.execute("begin immediate")
                yield con  # closing without commit rolls back
                con.execute("commit")


def scopes_of(experiment: Experiment) -> list[str]:
    """Return the scopes whose entries are about an experiment's users."""
    return [experiment.name] if experiment.has_row_numbers else [experiment.name, ALL]


def _last(scopes: Sequence[str], users: Sequence[int] | None) -> tuple[str, list[str]]:
    """Return the query of the last entry of each user and scope, and its bound values."""
    where, binds = f"experiment in {LISTED}", [json.dumps(list(scopes))]
    if users is not None:
        where += f" and user_id in {LISTED}"
        binds.append(json.dumps(list(users)))
    # SQLite takes the other columns from the row of the maximum.
    columns = COLUMNS.replace("entry", "max(entry) as entry", 1)
    return f"select {columns} from entries where {where} group by user_id, experiment", binds


def _insert(con: sqlite3.Connection, wishes: Sequence[Wish], now: datetime) -> list[Entry]:
    """Add entries in the open transaction, which keeps other writers out, so their numbers are known."""
    (last,) = con.execute("select coalesce(max(seq), 0) from sqlite_sequence").fetchone()
    entries = [
        Entry(**vars(wish), entry=number, made_at=now) for number, wish in enumerate(wishes, last + 1)
    ]
    con.executemany(
        f"insert into entries ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?)", map(as_row, entries)
    )
    return entries


def as_row(entry: Entry) -> tuple[object, ...]:
    """Return an entry as the file has it: see ``COLUMNS``."""
    until = entry.until.isoformat() if entry.until else None
    who = entry.entry, entry.experiment, entry.user_id, entry.action
    return *who, entry.reason, entry.made_by, entry.made_at.isoformat(), until


def _entry(row: tuple[Any, ...]) -> Entry:
    number, experiment, user_id, action, reason, made_by, made_at, until = row
    return Entry(
        user_id,
        experiment,
        action,
        reason,
        made_by,
        date.fromisoformat(until) if until else None,
        entry=number,
        made_at=datetime.fromisoformat(made_at),
    )


def _connect(path: Path) -> sqlite3.Connection:
    """Open the register.

    Raises:
        RegisterError: a later version made it.
    """
    con = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=rw",
        uri=True,
        timeout=PATIENCE,
        isolation_level=None,  # transactions are begun here
        check_same_thread=False,  # one thread at a time uses a connection
    )
    try:
        con.execute("pragma synchronous = full")
        con.execute("pragma secure_delete = on")  # what is erased is overwritten
        _refuse_other_format(con, path)
    except BaseException:
        con.close()
        raise
    return con


def _refuse_other_format(con: sqlite3.Connection, path: Path) -> None:
    (number,) = con.execute("pragma user_version").fetchone()
    if number != FORMAT:
        raise RegisterError(
            f"{path}: format {number} is not {FORMAT}; a later version made it, or it is damaged. Run "
            "the engine that made it, or restore it from a backup"
        )


def _create(path: Path) -> None:
    """Create an empty register; if two processes do so, the first one's file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(aside, isolation_level=None)) as con:
            con.execute("pragma journal_mode = wal").fetchall()
            con.executescript(SCHEMA)
        with suppress(FileExistsError):
            os.link(aside, path)
        sync_folder(path.parent)
    finally:
        for left in (aside, *path.parent.glob(f"{aside.name}-*")):
            left.unlink(missing_ok=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise RegisterError(
            f"{path}: the register of consent cannot be used ({error}). Free the disk, let this account "
            "write the home, or restore the file from a backup; nothing was changed"
        ) from error
