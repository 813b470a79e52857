"""The register of consent: the last entry of a scope holds, and no entry is lost, halved or altered."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from uplift_core.artifacts.register import ALL, KEPT, Register, RegisterError, Wish
from uplift_core.errors import UpliftError

TODAY = datetime.now(UTC).date()
# Enters one user after another, and prints a line for each that is entered.
WRITER = """
import sys
from pathlib import Path
from uplift_core.artifacts.register import Register, Wish
register, first, users = Register(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
for user in range(first, first + users):
    register.enter([Wish(user, scope, "suppress", "unsubscribed", "a test") for scope in ("shop", "")])
    print(user, flush=True)
"""


@pytest.fixture
def register(tmp_path: Path) -> Register:
    return Register(tmp_path / "register.sqlite")


def stop(user: int, experiment: str = "shop", until: date | None = None, reason: str = "left") -> Wish:
    return Wish(user, experiment, "suppress", reason, "Ann", until)


def lift(user: int, experiment: str = "shop") -> Wish:
    return Wish(user, experiment, "lift", "came back", "Ben")


def kept_out(register: Register, *scopes: str, on: date = TODAY) -> set[int]:
    return {entry.user_id for entry in register.keeping_out(scopes, on)}


def writer(register: Register, first: int, users: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(register.path), str(first), str(users)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_the_last_entry_of_each_scope_holds(register: Register) -> None:
    assert kept_out(register, "shop", ALL) == set()  # there is no file yet, and asking makes none
    assert not register.exists
    register.enter([stop(1), stop(2), stop(3, ALL), stop(4, "other")])
    assert kept_out(register, "shop", ALL) == {1, 2, 3}
    assert kept_out(register, "shop") == {1, 2}
    register.enter([lift(1), lift(3)])  # for the shop; the entry for all is another scope
    assert kept_out(register, "shop", ALL) == {2, 3}
    register.enter([lift(3, ALL), stop(1, reason="left again")])
    assert [(e.user_id, e.reason) for e in register.keeping_out(["shop", ALL], TODAY)] == [
        (1, "left again"),
        (2, "left"),
    ]
    history = register.history(1, ["shop", ALL])
    assert [entry.action for entry in history] == ["suppress", "lift", "suppress"]
    assert [entry.made_by for entry in history] == ["Ann", "Ben", "Ann"]
    assert [entry.entry for entry in history] == sorted(entry.entry for entry in history)
    assert all(entry.made_at.tzinfo == UTC for entry in history)
    assert abs(history[-1].made_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_last_day_is_part_of_it(register: Register) -> None:
    register.enter([stop(1, until=TODAY), stop(2, until=TODAY - timedelta(days=1)), stop(3)])
    assert kept_out(register, "shop") == {1, 3}
    assert kept_out(register, "shop", on=TODAY + timedelta(days=1)) == {3}
    assert kept_out(register, "shop", on=TODAY - timedelta(days=1)) == {1, 2, 3}


def test_some_users_are_looked_up_among_many(register: Register) -> None:
    last = 2**63 - 1
    register.enter([stop(user) for user in range(1000)] + [stop(last)])
    asked = [7, 5000, last, *range(995, 1005)]
    entries = register.keeping_out(["shop", ALL], TODAY, asked)
    assert {entry.user_id for entry in entries} == {7, last, *range(995, 1000)}


def test_what_is_wrong_is_not_entered(register: Register) -> None:
    for reason in ("", "  ", "x" * 201, "two\nlines"):
        with pytest.raises(UpliftError, match=r"reason = .*: must be a text of 1 to 200 characters"):
            stop(1, reason=reason)
    with pytest.raises(UpliftError, match="lifted at once"):
        Wish(1, "shop", "lift", "back", "Ann", TODAY)
    register.enter([stop(1)])
    with pytest.raises(RegisterError, match="nothing was changed"):
        register.enter([stop(2), Wish(3, "shop", "forget", "why", "Ann")])  # neither is entered
    assert kept_out(register, "shop") == {1}


def test_an_entry_is_never_altered(register: Register) -> None:
    register.enter([stop(1)])
    with closing(sqlite3.connect(register.path)) as con, pytest.raises(sqlite3.IntegrityError):
        con.execute("update entries set reason = 'other'")


def test_only_the_owner_reads_it(register: Register) -> None:
    register.enter([stop(1)])
    with register._open():  # the files beside it exist while it is open
        files = list(register.path.parent.iterdir())
        assert {path.name for path in files} >= {"register.sqlite", "register.sqlite-wal"}
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_several_writers_lose_nothing_and_readers_go_on(register: Register) -> None:
    """Each begins where there is no file yet."""
    writers = [writer(register, first, 60) for first in (0, 1000, 2000)]
    while any(process.poll() is None for process in writers):
        seen = register.keeping_out(["shop"], TODAY)
        assert len(register.keeping_out([ALL], TODAY)) >= len(seen)  # two entries are one transaction
    assert [process.wait() for process in writers] == [0, 0, 0]
    expected = {first + i for first in (0, 1000, 2000) for i in range(60)}
    assert kept_out(register, "shop") == kept_out(register, ALL) == expected
    assert [path.name for path in register.path.parent.glob(".*")] == []


def test_a_killed_writer_leaves_whole_entries(register: Register) -> None:
    for first in (0, 10_000, 20_000):
        process = writer(register, first, 10_000)
        said = [process.stdout.readline() for _ in range(20)]
        time.sleep(0.003)
        process.kill()
        said += process.stdout.readlines()
        process.wait()
        entered = {int(line) for line in said if line.endswith("\n")}
        mine = {user for user in kept_out(register, "shop") if first <= user < first + 10_000}
        assert entered <= mine
        assert len(mine) <= len(entered) + 1  # it was entered, and not yet said
        assert mine == {u for u in kept_out(register, ALL) if first <= u < first + 10_000}


def test_erasing_removes_a_user_and_keeps_their_word_for_all(register: Register) -> None:
    why = "a reason that names K-17"
    register.enter([stop(7, reason=why), stop(7, ALL, reason=why), stop(8), stop(9, ALL)])
    register.enter([lift(9, ALL), stop(9, "other")])
    assert register.erase([7], "shop") == (2, 1)
    (kept,) = register.history(7, ["shop", ALL])
    assert (kept.reason, kept.made_by, kept.experiment) == (KEPT, "erase", ALL)
    assert register.erase([7], "shop") == (0, 1)  # again: nothing changes
    last = register.last_entry
    assert register.erase([9], "shop") == (2, 0)  # what was lifted does not outlive them
    assert kept_out(register, "shop", ALL) == {7, 8}
    assert kept_out(register, "other") == {9}
    assert register.last_entry == last == 7
    for path in register.path.parent.iterdir():
        assert why.encode() not in path.read_bytes()


def test_a_copy_is_whole_while_others_write(register: Register, tmp_path: Path) -> None:
    process = writer(register, 0, 60)
    process.stdout.readline()
    register.copy_to(tmp_path / "copy.sqlite")
    assert process.wait() == 0
    copy = Register(tmp_path / "copy.sqlite")
    assert kept_out(copy, "shop") == kept_out(copy, ALL) != set()
    copy.enter([stop(777)])
    assert 777 in kept_out(copy, "shop")
    assert len(kept_out(register, "shop")) == 60


def test_another_file_in_its_place_is_noticed(register: Register, tmp_path: Path) -> None:
    register.enter([stop(1)])
    assert kept_out(register, "shop") == {1}
    other = Register(tmp_path / "other" / "register.sqlite")
    other.enter([stop(2)])
    for path in tmp_path.glob("register.sqlite*"):
        path.unlink()
    other.path.rename(register.path)
    assert kept_out(register, "shop") == {2}


def test_a_file_of_another_format_is_refused(register: Register) -> None:
    register.enter([stop(1)])
    with closing(sqlite3.connect(register.path)) as con:
        con.execute("pragma user_version = 2")
    with pytest.raises(RegisterError, match="format 2 is not 1; a later version made it"):
        Register(register.path).keeping_out(["shop"], TODAY)
    register.path.write_bytes(b"no database at all" * 100)
    with pytest.raises(RegisterError, match="cannot be used"):
        Register(register.path).enter([stop(1)])
