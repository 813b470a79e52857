"""Keep users out of lists, or let them in again: ``make suppress USER=... REASON=...``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console

from dagster_project.settings import Settings
from uplift_core.artifacts.home import Home, account
from uplift_core.artifacts.register import ALL, Entry, Register
from uplift_core.errors import UpliftError


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(
        prog="uplift suppress",
        description="Keep users out of lists and of /score, or let them in again.",
    )
    made.add_argument("user", nargs="?", default="", help="the user's id in the file, or user_id")
    made.add_argument("--experiment", default="", help="one experiment; all if it is left out")
    made.add_argument("--reason", default="", help="why, such as unsubscribed; answers show it")
    made.add_argument("--until", default="", metavar="DAY", help="the last day, YYYY-MM-DD, in UTC")
    made.add_argument("--by", default="", help="who says so; your account if it is left out")
    made.add_argument("--file", type=Path, help="a CSV of ids, perhaps with reason and until")
    made.add_argument("--lift", action="store_true", help="let them in again")
    made.add_argument("--unknown-too", action="store_true", help="also ids of nobody who is published")
    made.add_argument("--list", action="store_true", help="show who is kept out, or a user's entries")
    made.add_argument("--json", action="store_true", help="print the list as one JSON object")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Enter what is asked for, or list what was entered; return the exit code.

    The code is 1 if ids of a file were left out.
    """
    chosen = _chosen(arguments)
    # DuckDB and the experiments' SQL take a second to import, so --help is answered first.
    from dagster_project.delivery import suppressing  # noqa: PLC0415
    from dagster_project.inputs.experiments import experiment_folders  # noqa: PLC0415

    settings, console = Settings(), Console(highlight=False, soft_wrap=True, markup=False)
    home = Home(settings.home.absolute())
    experiments = {folder.name: folder.declaration for folder in experiment_folders(settings)}
    scope = chosen.experiment or ALL
    concerned = suppressing.concerned_by(experiments, scope)
    if chosen.list:
        users = None
        if chosen.user:
            with suppressing.published_users(home) as db:
                known = suppressing.look_up(home, db, concerned, [chosen.user], scope)[chosen.user]
            users = known.published | known.may_come
        scopes = [scope] if scope == ALL else [scope, ALL]
        entries = entries_of(Register(home.register), scopes, users)
        (write_json if chosen.json else partial(show, console))(entries)
        return 0
    until, by = suppressing.day_in(chosen.until), chosen.by or account()
    if chosen.file:
        columns = dict.fromkeys(e.id_column for e in concerned if e.id_column)
        requests = suppressing.read_file(chosen.file, columns, chosen.reason, until)
    else:
        requests = [suppressing.Request(chosen.user, chosen.reason, until)]
    home.make_private()
    done = suppressing.enter(
        home,
        experiments,
        scope,
        "lift" if chosen.lift else "suppress",
        requests,
        made_by=by,
        unknown_too=chosen.unknown_too,
    )
    left = list[str]()
    if done.unknown:
        left.append(suppressing.why_unknown(experiments, scope, done.unknown))
    if done.not_kept_out:
        left.append(suppressing.why_not_lifted(home, experiments, scope, done.not_kept_out))
    if left and not chosen.file:
        raise UpliftError(f"{'; '.join(left)}. Nothing was entered")
    show(console, done.entries[:1] if len(done.entries) == 1 else [])
    where = chosen.experiment or "all experiments with ids of their own"
    word = "let in again" if chosen.lift else "kept out"
    console.print(f"{done.users:,} {word} of {where}, from now on")
    for line in left:
        console.print(f"left out: {line}")
    return 1 if left else 0


def _chosen(arguments: list[str] | None) -> argparse.Namespace:
    parsed = parser()
    chosen = parsed.parse_args(arguments)
    if not chosen.list and bool(chosen.user) == bool(chosen.file):
        parsed.error("name either one user or a file")
    if chosen.json and not chosen.list:
        parsed.error("--json is for --list")
    if chosen.lift and chosen.until:
        parsed.error("a suppression is lifted at once: leave --until out")
    return chosen


def entries_of(register: Register, scopes: list[str], users: Iterable[int] | None) -> list[Entry]:
    """Return who is kept out today; of named users, all that was ever entered."""
    if users is None:
        return register.keeping_out(scopes, datetime.now(UTC).date())
    return [entry for user in sorted(users) for entry in register.history(user, scopes)]


def write_json(entries: Iterable[Entry]) -> None:
    """Print entries as one JSON object."""
    rows = [asdict(entry) for entry in entries]
    sys.stdout.write(json.dumps({"entries": rows}, default=str) + "\n")


def show(console: Console, entries: Iterable[Entry]) -> None:
    """Print entries, a line each."""
    for entry in entries:
        until = f" until {entry.until} (UTC)" if entry.until else ""
        console.print(
            f"{entry.entry}: {entry.action} user_id {entry.user_id} of {entry.experiment or 'all'}: "
            f"{entry.reason}{until}; by {entry.made_by}, {entry.made_at:%Y-%m-%d %H:%M:%S} UTC"
        )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UpliftError as error:
        sys.exit(f"error: {error}")
