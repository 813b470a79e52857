"""A night's list and the service read the same of the register."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from dagster_project.decisions.registered import read_register
from dagster_project.warehouse.connection import Warehouse
from tests.support import folder_of, make_table, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.register import ALL, Register, Wish

TODAY = datetime.now(UTC).date()
USERS = range(1, 300)


def wishes(seed: int) -> list[Wish]:
    """Four entries about each user, of both scopes, with and without an end, in any order."""
    rng = random.Random(seed)  # noqa: S311 - what was entered
    made = []
    for user in [*USERS, *USERS, *USERS, *USERS]:
        action = rng.choice(["suppress", "suppress", "lift"])
        end = rng.choice([None, TODAY + timedelta(days=rng.randint(-3, 3))])
        until = end if action == "suppress" else None
        scope = rng.choice(["simulated", ALL, "another"])
        made.append(Wish(user, scope, action, f"reason {len(made)}", "Ann", until))
    rng.shuffle(made)
    return made


def expected(register: Register, day: date) -> dict[int, str]:
    """The same by plain Python, of the entries that keep users out."""
    entries = register.keeping_out(["simulated", ALL], day)
    entries.sort(key=lambda entry: (entry.until or date.max, entry.experiment != ALL))
    return {entry.user_id: entry.reason for entry in entries}


@pytest.mark.parametrize("seed", range(3))
def test_list_and_service_obey_the_same_entries(db: Warehouse, tmp_path: Path, seed: int) -> None:
    home = Home(tmp_path)
    register = Register(home.register)
    known = with_experiment(folder_of("simulated"), user_id="user_id")
    make_table(db, "scores.simulated", "user_id bigint", [(user,) for user in USERS if user % 7])
    assert read_register(db, home, known, str(TODAY)) == 0  # there is no register yet
    register.enter(wishes(seed))
    for day in (TODAY, TODAY + timedelta(days=2)):
        said = expected(register, day)
        assert len(said) > 50
        assert register.reasons(["simulated", ALL], day, list(USERS)) == said
        written = {user: reason for user, reason in said.items() if user % 7}
        assert read_register(db, home, known, str(day)) == len(written)
        rows = db.rows("select user_id, reason from decisions.registered")
        assert dict(rows) == written
        for_all = dict(db.rows("select reason, for_all from decisions.registered"))
        scopes = {entry.reason: entry.experiment for entry in register.keeping_out([ALL], day)}
        assert {reason for reason, of_all in for_all.items() if of_all} == {*for_all} & {*scopes}
    (made_at,) = db.one("select max(made_at) from decisions.registered")
    assert abs(datetime.now(UTC).replace(tzinfo=None) - made_at) < timedelta(minutes=5)
