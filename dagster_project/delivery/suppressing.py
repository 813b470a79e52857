"""Enter users by their ids into the register of consent, or lift what was entered.

Who is known is looked up in the published snapshot, so that nobody waits for the run that has the
warehouse open. The register names users by ``user_id`` alone; their ids in files are not stored.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.table_names import Tables
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.id_key import read_id_key
from uplift_core.artifacts.publication import POINTER, read_pointer
from uplift_core.artifacts.register import ALL, Action, Entry, Register, Wish
from uplift_core.errors import UpliftError
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.user_ids import number_in, numbers_by, numbers_to_come

Experiments = Mapping[str, Experiment]
MOST_NAMED = 5  # ids that a message names
ID_COLUMNS = ("user_id", "user")  # besides the declared one


@dataclass(frozen=True)
class Request:
    """What somebody wants entered about a user: the id as they know it, why, and the last day (UTC)."""

    user: str
    reason: str
    until: date | None = None


@dataclass(frozen=True)
class Known:
    """What an id stands for: values of ``user_id`` of published users, and of users who may come."""

    published: frozenset[int] = frozenset()
    may_come: frozenset[int] = frozenset()

    def __or__(self, other: Known) -> Known:
        """Combine what an id stands for in two experiments."""
        return Known(self.published | other.published, self.may_come | other.may_come)


@dataclass
class Outcome:
    """What was entered about how many users, and the ids that were left out."""

    users: int = 0
    entries: list[Entry] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    not_kept_out: list[str] = field(default_factory=list)


def enter(  # noqa: PLR0913 - what, where, and by whom
    home: Home,
    experiments: Experiments,
    scope: str,
    action: Action,
    requests: Sequence[Request],
    *,
    made_by: str,
    unknown_too: bool = False,
) -> Outcome:
    """Enter what is requested about users, all of it at once; ids of nobody are left out.

    Args:
        home: the home.
        experiments: all declared experiments, by name.
        scope: the experiment that it is about; ``ALL`` for all that know users by ids of their own.
        action: suppress, or lift what was entered for the same scope.
        requests: about whom, and why.
        made_by: who says so.
        unknown_too: enter ids that no published user has, too: of users of a later file.

    Raises:
        UpliftError: no experiment of the scope knows users by ids of their own, or a text is invalid.
    """
    concerned = concerned_by(experiments, scope)
    register, outcome = Register(home.register), Outcome()
    today, wishes = datetime.now(UTC).date(), list[Wish]()
    with published_users(home) as db:
        known = look_up(home, db, concerned, [request.user for request in requests], scope)
    for request in requests:
        stands_for = known[request.user]
        users = set(stands_for.published)
        if action == "lift" or (users or unknown_too if scope == ALL else unknown_too and not users):
            users |= stands_for.may_come  # for all: in experiments that are still to come, too
        if action == "lift":
            users = {entry.user_id for entry in register.keeping_out([scope], today, sorted(users))}
        if not users:
            (outcome.unknown if action == "suppress" else outcome.not_kept_out).append(request.user)
            continue
        outcome.users += 1
        until = None if action == "lift" else request.until
        wishes += [Wish(user, scope, action, request.reason, made_by, until) for user in sorted(users)]
    _refuse_past(wishes, today)
    if wishes:
        outcome.entries = register.enter(wishes)
    return outcome


def concerned_by(experiments: Experiments, scope: str) -> list[Experiment]:
    """Return the experiments that an entry is about; row numbers mean nothing to other experiments.

    Raises:
        UpliftError: there is none.
    """
    if scope != ALL:
        if scope not in experiments:
            raise UpliftError(f"'{scope}' is no experiment; choose from {sorted(experiments)}")
        return [experiments[scope]]
    concerned = [e for e in experiments.values() if not e.has_row_numbers]
    if not concerned:
        raise UpliftError(
            f"{', '.join(sorted(experiments))}: users are known by their row in the file, which means "
            "nothing to another experiment; name one experiment (EXPERIMENT=...)"
        )
    return concerned


@contextmanager
def published_users(home: Home) -> Iterator[Warehouse]:
    """Open the published snapshot for reading; without one, an empty database."""
    named = (home.published / POINTER).is_file()
    path = str(home.published / read_pointer(home.published).file) if named else ":memory:"
    with duckdb.connect(path, read_only=named) as con:
        yield Warehouse(con)


def look_up(
    home: Home, db: Warehouse, experiments: Iterable[Experiment], ids: Sequence[str], scope: str
) -> dict[str, Known]:
    """Map each id to what it stands for in these experiments: an id of a file, or a ``user_id``.

    If the scope is all experiments, those are included that are still to come.
    """
    key = read_id_key(home)
    numbers_of = numbers_to_come if scope == ALL else numbers_by
    numbers = {text: number_in(text) for text in ids}
    given = pa.table(
        {"id": pa.array(numbers, pa.string()), "number": pa.array(numbers.values(), pa.int64())}
    )
    known = dict.fromkeys(ids, Known())
    with db.relation("given", given):
        for experiment in experiments:
            published = _published(db, experiment)
            for text in numbers:
                known[text] |= Known(
                    published.get(text, frozenset()), frozenset(numbers_of(experiment, text, key))
                )
    return known


def _published(db: Warehouse, experiment: Experiment) -> dict[str, frozenset[int]]:
    """Map the ids of published users to their ``user_id``; the file's ids go first."""
    tables, known = Tables.of(experiment), dict[str, frozenset[int]]()
    conditions = ["raw.user_id = given.number"]
    if experiment.id_column:
        conditions.insert(0, f"raw.{Identifier.of(experiment.id_column)}::varchar = given.id")
    raws = [table for table in (tables.raw, tables.population.raw) if db.kind(table)]
    for condition in conditions:
        rows = [
            row
            for table in raws
            for row in db.rows(f"select id, user_id from given inner join {table} as raw on {condition}")
        ]
        new = {str(text) for text, _ in rows} - known.keys()
        for text, user in rows:
            if text in new:
                known[text] = known.get(text, frozenset()) | {int(user)}
    return known


def _refuse_past(wishes: Sequence[Wish], today: date) -> None:
    for wish in wishes:
        if wish.until and wish.until < today:
            raise UpliftError(
                f"until = {wish.until}: that day is over (it is {today} in UTC), so nobody would be "
                "kept out; name a later last day, or none"
            )


def why_unknown(experiments: Experiments, scope: str, users: Sequence[str]) -> str:
    """Say which ids nobody has, and what to do."""
    concerned = concerned_by(experiments, scope)
    named = ", ".join(f"'{user}'" for user in users[:MOST_NAMED])
    more = f" and {len(users) - MOST_NAMED:,} more" if len(users) > MOST_NAMED else ""
    columns = sorted({f"'{e.id_column}'" for e in concerned if e.id_column})
    what = " or ".join([*columns, "user_id"])
    names = ", ".join(e.name for e in concerned)
    if all(e.has_row_numbers for e in concerned):
        remedy = "its users are rows of the file, from 1 to the last"
    else:
        remedy = "correct it, or say --unknown-too if the user comes with a later file"
    rows = sorted(e.name for e in experiments.values() if e.has_row_numbers)
    others = (
        f" ({', '.join(rows)} know rows alone: name one by EXPERIMENT)" if scope == ALL and rows else ""
    )
    return f"{names}: {named}{more} is the {what} of no published user; {remedy}{others}"


def why_not_lifted(home: Home, experiments: Experiments, scope: str, users: Sequence[str]) -> str:
    """Say whom nothing keeps out by an entry of this scope, and what else keeps them out."""
    concerned, today = concerned_by(experiments, scope), datetime.now(UTC).date()
    with published_users(home) as db:
        known = look_up(home, db, concerned, users[:MOST_NAMED], scope)
        numbers = {user for each in known.values() for user in each.published | each.may_come}
        by_table = [e.name for e in concerned if _in_table(db, e.name, numbers)]
    scopes = {*experiments, ALL} - {scope}
    others = {
        e.experiment for e in Register(home.register).keeping_out(sorted(scopes), today, [*numbers])
    }
    named = ", ".join(f"'{user}'" for user in users[:MOST_NAMED])
    more = f" and {len(users) - MOST_NAMED:,} more" if len(users) > MOST_NAMED else ""
    what = [f"an entry for {name or 'all experiments'}" for name in sorted(others)]
    what += [f"rows of decisions.suppressions for {name}, which SQL deletes" for name in by_table]
    hint = f"; what does is {' and '.join(what)}" if what else ""
    return f"no entry for {scope or 'all experiments'} keeps {named}{more} out{hint}"


def _in_table(db: Warehouse, experiment: str, users: Iterable[int]) -> bool:
    if not db.kind(Identifier.of("decisions", "suppressions")):
        return False
    sql = (
        "select 1 from decisions.suppressions where experiment = $experiment "
        "and user_id in (select unnest($users::bigint[])) and (until is null or until >= $today)"
    )
    binds = {"experiment": experiment, "users": sorted(users), "today": datetime.now(UTC).date()}
    return bool(db.rows(sql, binds))


def read_file(path: Path, id_columns: Iterable[str], reason: str, until: date | None) -> list[Request]:
    """Read requests from a CSV file with a column of ids, and perhaps ``reason`` and ``until``.

    Args:
        path: the file.
        id_columns: names of the column of ids, the best first.
        reason: of rows that leave it out.
        until: of rows that leave it out.

    Raises:
        UpliftError: there is no column of ids, a row has none, or a day is no date.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UpliftError(f"{path} cannot be read: {error}; name a CSV file in UTF-8") from error
    if not rows:
        return []
    names = [name for name in (*id_columns, *ID_COLUMNS) if name in rows[0]]
    if not names:
        wanted = " or ".join(f"'{name}'" for name in (*id_columns, *ID_COLUMNS))
        raise UpliftError(f"{path}: has no column {wanted}; name the column of the users' ids so")
    requests = []
    for number, row in enumerate(rows, start=2):
        user = row[names[0]] or ""
        if not user:
            raise UpliftError(f"{path}: line {number} has no '{names[0]}'; remove or complete it")
        requests.append(Request(user, row.get("reason") or reason, day_in(row.get("until")) or until))
    return requests


def day_in(text: str | None) -> date | None:
    """Read a day, YYYY-MM-DD; None if there is none.

    Raises:
        UpliftError: it is no day.
    """
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise UpliftError(f"until = '{text}': must be a day, YYYY-MM-DD, in UTC") from error
