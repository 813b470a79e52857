"""Erase a user: every row and line about them below the home, with a receipt that names no attribute.

Files are written anew without the user and replace the old ones: a deleted row would stay in its file.
Cells, models and figures are sums over many users, and stay. A tombstone keeps the user out when the
source file is read again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.erased_files import (
    erase_from_exports,
    erase_from_log,
    erase_previews,
    files_with,
)
from dagster_project.delivery.publish import STORAGE
from dagster_project.delivery.stores import Store
from dagster_project.inputs.clusters import drawn_by
from dagster_project.turns.home_turn import Worker, home_turn
from dagster_project.turns.waiting import Log
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.opening import open_in_memory, open_warehouse
from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.table_names import VIEW
from dagster_project.warehouse.tombstones import bury, is_buried
from uplift_core.artifacts.files import replace_file, sha256_file, sync_file, sync_folder
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.id_key import read_id_key
from uplift_core.artifacts.publication import (
    POINTER,
    forget_pointer,
    read_pointer,
    record_pointer,
    recorded_pointers,
    write_pointer,
)
from uplift_core.artifacts.register import Register, scopes_of
from uplift_core.command_words import spoken
from uplift_core.errors import DataError, UpliftError
from uplift_core.experiment.user_ids import number_in, numbers_by

TABLES = """
select schema_name, table_name, bool_or(column_name = 'experiment')
from duckdb_columns()
semi join duckdb_tables() using (database_name, schema_name, table_name)
where not internal and database_name = current_database()
group by all
having bool_or(column_name = 'user_id')
order by all
"""
ERASED_MARK = "-erased"  # in the name of a snapshot that was written anew
OPTED_OUT = (
    "in the register, that this user_id said no to all experiments, without when and why. To remove "
    f"that, too, lift it ({spoken('suppress LIFT=1', 'suppress --lift')}, without an experiment), and "
    "erase again"
)
LONG = 10  # digits or characters from which on an id is searched for in all files


@dataclass(frozen=True)
class Person:
    """A user of an experiment: values of ``user_id``, and of the declared id in files."""

    experiment: BatchExperiment
    users: Sequence[int]
    own_ids: Sequence[str]

    @property
    def tables(self) -> frozenset[str]:
        """Names of tables that belong to the experiment alone."""
        name = self.experiment.name
        made = ("population", "binned", "feature_cells", "user_cells", "cells", "predictions", "kept")
        others = (*made, *self.experiment.declaration.tables)
        return frozenset({name, *(f"{name}_{other}" for other in others)})

    def rows_in(self, db: Warehouse) -> dict[Identifier, str]:
        """Map each table with this experiment's users, in the current database, to a condition."""
        conditions = {}
        for schema, table, shared in db.rows(TABLES):
            if shared or table in self.tables:
                mine = "experiment = $experiment and " if shared else ""
                conditions[Identifier.of(schema, table)] = f"{mine}user_id in (select unnest($users))"
        return conditions

    def binds(self, condition: str) -> dict[str, object]:
        """Return the bound values of a condition."""
        names = {"experiment": self.experiment.name} if "$experiment" in condition else {}
        return names | {"users": list(self.users)}

    def count(self, db: Warehouse) -> dict[str, int]:
        """Count the user's rows by table, in the current database; tables without any are left out."""
        counts = {
            str(table).replace('"', ""): db.one(
                f"select count(*) from {table} where {condition}", self.binds(condition)
            )[0]
            for table, condition in self.rows_in(db).items()
        }
        return {table: rows for table, rows in counts.items() if rows}

    def delete(self, db: Warehouse) -> None:
        """Delete the user's rows, and findings of checks that quote their ids."""
        for table, condition in self.rows_in(db).items():
            db.rows(f"delete from {table} where {condition}", self.binds(condition))
        quoted = [*self.own_ids, *map(str, self.users)]
        if db.kind(Identifier.of("quality", "results")):
            db.rows(
                "delete from quality.results where experiment = $experiment and exists "
                "(from (select unnest($quoted) as quoted) where value = quoted "
                "or regexp_matches(message, '\\b' || regexp_escape(quoted) || '\\b'))",
                {"experiment": self.experiment.name, "quoted": quoted},
            )


@dataclass(frozen=True)
class Machine:
    """Limits of DuckDB: its memory, such as 4GB, and its threads (0: all cores)."""

    memory_limit: str
    threads: int


def erase(  # noqa: PLR0913 - whom, where, and how
    home: Home,
    experiment: BatchExperiment,
    user: str,
    *,
    store: Store,
    machine: Machine,
    decision_log: Path | None,
    log: Log,
    wait: bool = True,
) -> dict[str, Any]:
    """Erase a user from everything below the home and from the exports; return the receipt.

    If it is killed, run it again: what was done stays done.

    Args:
        home: the home.
        experiment: the experiment that the user belongs to.
        user: the id in the declared column of ids, or ``user_id``.
        store: the exports.
        machine: limits of DuckDB.
        decision_log: the API's log of decisions, if it has one here.
        log: logs whom this process waits for.
        wait: if false, do not wait for a run.

    Raises:
        TurnTakenError: a run works in the home, and ``wait`` is false.
        UpliftError: nobody has this id, or the rows are in a cluster's files.
    """
    with home_turn(home.root, Worker.here("erase", ""), log, wait=wait):
        memory, threads = machine.memory_limit, machine.threads
        with open_warehouse(home, memory_limit=memory, threads=threads, log=log) as db:
            _refuse_parts(db, home, experiment)
            register = Register(home.register)
            person = _find(db, home, experiment, user, register)
            rows = person.count(db)
            split, rules = experiment.declaration.split, experiment.declaration.decisions
            drawn = drawn_by(db, experiment, person.users)
            bury(db, experiment.name, drawn, salt=split.salt, holdout=rules.holdout)
        with open_in_memory(home.scratch, memory_limit=memory, threads=threads) as db:
            snapshots = _erase_from_snapshots(db, home, person)
            copies = [*home.upgrades.glob("*.duckdb"), *home.root.glob("warehouse-until-*.duckdb")]
            for copy in copies:
                _write_anew(db, copy, copy, person.delete)
            exports = erase_from_exports(db, store, person.experiment, person.own_ids, person.users)
            entries, opted_out = register.erase(person.users, experiment.name)
            # Last, so that the ids are still known if this is run again.
            _write_anew(db, home.warehouse, home.warehouse, person.delete)
        shutil.rmtree(home.root / "data_docs" / experiment.name, ignore_errors=True)
        receipt = {
            "experiment": experiment.name,
            "erased_at": datetime.now(UTC).isoformat(),
            "rows": rows,
            "snapshots": snapshots,
            "copies_of_the_warehouse": len(copies),
            "exported_lists": exports,
            "entries_of_the_register": entries,
            "lines_of_the_decision_log": erase_from_log(decision_log, person.users, person.own_ids),
            "previews_of_tables": erase_previews(home.root / "dagster"),
            "kept": "cells, models, figures and counts of lists, which are sums over many users; "
            "a tombstone without id" + (f"; {OPTED_OUT}" if opted_out else ""),
        }
        texts = [text for text in {*person.own_ids, *map(str, person.users)} if len(text) >= LONG]
        receipt["still_named_in"] = files_with(home.root, texts)
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
        content = json.dumps(receipt, indent=2).encode()
        replace_file(home.root / "erasures" / f"{stamp}.json", content)
    return receipt


def _refuse_parts(db: Warehouse, home: Home, experiment: BatchExperiment) -> None:
    folder = home.partitions / experiment.name
    if db.kind(experiment.tables.raw) == VIEW or any(folder.rglob("*.parquet")):
        raise UpliftError(
            f"{experiment.name}: its rows are in a cluster's files, in {folder}, which this command "
            "does not write anew. Take the user out of the source file, run without UPLIFT_CLUSTER "
            "until no kept snapshot names those files, and erase then"
        )


def _find(
    db: Warehouse, home: Home, experiment: BatchExperiment, user: str, register: Register
) -> Person:
    """Find a user by their own id or by ``user_id``.

    Raises:
        UpliftError: nobody has this id.
    """
    tables, column = experiment.tables, experiment.declaration.id_column
    raws = [table for table in (tables.raw, tables.population.raw) if db.kind(table)]
    named = Identifier.of(column)
    users: set[int] = set()
    for table in raws if column else ():
        matches = db.rows(f"select user_id from {table} where {named}::varchar = $user", {"user": user})
        users |= {int(row[0]) for row in matches}
    if not users:
        number = number_in(user)
        numbers = {number} if number is not None else set[int]()
        numbers |= numbers_by(experiment.declaration, user, read_id_key(home))
        for candidate in sorted(numbers, key=lambda each: each == number):  # a text's first
            person = Person(experiment, [candidate], [])
            entered = register.history(candidate, scopes_of(experiment.declaration))
            if person.count(db) or entered or is_buried(db, experiment.name, candidate):
                users = {candidate}
                break
    if not users:
        known = f"neither a '{column}' nor a user_id" if column else "no user_id"
        raise UpliftError(f"{experiment.name}: '{user}' is {known} of any table; nothing was erased")
    own_ids = {user} if column and not (user.isdecimal() and int(user) in users) else set()
    for table in raws if column else ():
        matches = db.rows(
            f"select {named}::varchar from {table} where user_id in (select unnest($users))",
            {"users": sorted(users)},
        )
        own_ids |= {str(row[0]) for row in matches}
    return Person(experiment, sorted(users), sorted(own_ids))


def _write_anew(
    db: Warehouse,
    source: Path,
    target: Path,
    change: Callable[[Warehouse], None],
    options: str = "",
) -> None:
    """Write a DuckDB file anew, changed, without what deleted rows would leave behind.

    Args:
        db: a database in memory.
        source: the file.
        target: the new file; it may be ``source``.
        change: changes the rows of the current database.
        options: of the new database, such as its storage version.

    Raises:
        DataError: rows are missing in the new file.
    """
    (home,) = db.one("select current_database()")
    half, new = (target.with_name(f".{target.name}.{name}") for name in ("half", "new"))
    try:
        for path in (half, new):
            path.unlink(missing_ok=True)
        db.rows("attach $path as source (read_only)", {"path": str(source)})
        db.rows("attach $path as half", {"path": str(half)})
        db.rows("copy from database source to half")
        db.rows("detach source")
        db.rows("use half")
        change(db)
        wanted = _row_counts(db)
        db.rows(f"attach $path as new {options}", {"path": str(new)})
        db.rows("copy from database half to new")
        db.rows("use new")
        if _row_counts(db) != wanted:
            raise DataError(f"{target}: rows are missing in the file that was written anew")
    finally:
        db.rows(f"use {Identifier.of(home)}")
        for name in ("source", "half", "new"):
            db.rows(f"detach database if exists {name}")
        half.unlink(missing_ok=True)
    sync_file(new)
    new.replace(target)
    target.with_name(f"{target.name}.wal").unlink(missing_ok=True)
    sync_folder(target.parent)


def _row_counts(db: Warehouse) -> dict[Identifier, int]:
    rows = db.rows(
        "select schema_name, table_name from duckdb_tables() "
        "where not internal and database_name = current_database()"
    )
    return {(table := Identifier.of(*row)): db.count(table) for row in rows}


def _erase_from_snapshots(db: Warehouse, home: Home, person: Person) -> int:
    """Write every kept snapshot with the user anew, under a new name; return how many."""
    pointers = recorded_pointers(home.published)
    current = read_pointer(home.published) if (home.published / POINTER).is_file() else None
    written = 0
    for pointer in pointers:
        path = home.published / pointer.file
        if not path.is_file() or not _names(db, path, person):
            continue
        name, _, times = pointer.snapshot_id.partition(ERASED_MARK)
        snapshot_id = f"{name}{ERASED_MARK}{int(times or 0) + 1}"
        file = f"snapshot-{snapshot_id}.duckdb"
        options = f"(storage_version '{STORAGE}')"
        _write_anew(db, path, home.published / file, person.delete, options)
        digest = sha256_file(home.published / file)
        new = pointer.model_copy(update={"snapshot_id": snapshot_id, "file": file, "sha256": digest})
        record_pointer(home.published, new)
        if current and current.file == pointer.file:
            write_pointer(home.published, new)
        path.unlink()
        forget_pointer(home.published, pointer.file)
        written += 1
    return written


def _names(db: Warehouse, path: Path, person: Person) -> bool:
    """Return true if a DuckDB file has rows of the user."""
    (home,) = db.one("select current_database()")
    db.rows("attach $path as looked_at (read_only)", {"path": str(path)})
    try:
        db.rows("use looked_at")
        return bool(person.count(db))
    finally:
        db.rows(f"use {Identifier.of(home)}")
        db.rows("detach looked_at")
