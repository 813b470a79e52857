"""Tell people of changes of state: a run that stops or works again, a new list, a refused snapshot.

A message goes out only when a subject's state is another than the last one, which an SQLite file of the
home remembers for all processes. A process of its own sends it, so that nobody waits for a receiver.
Messages hold no data of users.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

from uplift_core.artifacts.home import Home

LOG = logging.getLogger(__name__)
SENDER = "uplift_core.artifacts.notice_sender"
PATIENCE = 5.0  # seconds to wait for another process that remembers a state
STATES = """
create table if not exists states (
    subject text primary key,
    state text not null,
    since text not null -- ISO 8601, UTC
) strict
"""
REMEMBER = """
insert into states values (?, ?, ?)
on conflict (subject) do update set state = excluded.state, since = excluded.since
"""


@dataclass(frozen=True)
class Notice:
    """The state of a subject, and what to tell about it.

    Attributes:
        subject: what has the state, such as ``run/simulated``.
        state: the state, such as ``stopped at treat_list``.
        title: the message's first line.
        text: what happened, where, and what to do.
        is_news_at_first: whether it is told if nothing was remembered about the subject before.
    """

    subject: str
    state: str
    title: str
    text: str
    is_news_at_first: bool = True


class Notices:
    """Tells of changes of state, if there is somebody to tell."""

    def __init__(self, home: Home, addresses: str) -> None:
        """Tell of a home's states.

        Args:
            home: the home.
            addresses: apprise's URLs of the receivers, separated by blanks; empty: nobody is told.
        """
        self.home, self._addresses = home, addresses
        self._remembered: dict[str, str] = {}  # where the home cannot be written

    def __bool__(self) -> bool:
        """Return true if there is somebody to tell."""
        return bool(self._addresses.split())

    def tell(self, notice: Notice) -> bool:
        """Tell of a state if it is new. Nothing waits, and no error of a receiver gets here.

        Returns:
            Whether a message is on its way.
        """
        if not self:
            return False
        before = self._exchange(notice)
        if before == notice.state or (before is None and not notice.is_news_at_first):
            return False
        self._send(notice)
        return True

    def _exchange(self, notice: Notice) -> str | None:
        """Remember a state; return the one before, None if there was none."""
        try:
            return _exchange(self.home.notices, notice)
        except (sqlite3.Error, OSError):  # a service may be unable to write its home
            before = self._remembered.get(notice.subject)
            self._remembered[notice.subject] = notice.state
            return before

    def _send(self, notice: Notice) -> None:
        message = {"addresses": self._addresses, "log": str(self.home.notices.with_suffix(".log"))}
        try:
            process = subprocess.Popen(  # noqa: S603 - a module of this package
                [sys.executable, "-m", SENDER],
                stdin=subprocess.PIPE,  # an argument would show the addresses to other accounts
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            with cast("IO[bytes]", process.stdin) as pipe:
                pipe.write(json.dumps(message | asdict(notice)).encode())
        except OSError as error:
            LOG.warning("a notice could not be sent: %s", error)


def _exchange(file: Path, notice: Notice) -> str | None:
    with closing(sqlite3.connect(file, timeout=PATIENCE, isolation_level=None)) as con:
        con.execute("begin immediate")
        con.execute(STATES)
        row = con.execute("select state from states where subject = ?", [notice.subject]).fetchone()
        before: str | None = row[0] if row else None
        if before != notice.state:
            now = datetime.now(UTC).isoformat()
            con.execute(REMEMBER, [notice.subject, notice.state, now])
        con.execute("commit")
    return before
