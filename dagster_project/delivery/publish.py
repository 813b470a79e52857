"""Publishing: an immutable snapshot of the warehouse, then one atomic change of the pointer.

A snapshot holds the experiment that was just finished as it stands in the warehouse, and every
other experiment as it was published before: a run that was stopped half-way in one experiment
cannot slip its tables in with another's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dagster_project.decisions.ledger import first_of_last
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery import known_users
from dagster_project.training.registry import current_version, deciding_learner
from dagster_project.warehouse.comments import comment_statements
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.ledger_view import REGISTRY, show_parts
from dagster_project.warehouse.partitions import remove_unused
from dagster_project.warehouse.schema import SCHEMAS, create_rules
from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.table_names import LEDGER, LEDGER_ROWS, PROOF
from uplift_core.artifacts import bundle
from uplift_core.artifacts.files import sha256_file, sync_file, sync_folder
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import (
    POINTER,
    Pin,
    Pointer,
    PublishedExperiment,
    changing,
    forget_pointer,
    make_current,
    newest_pointer,
    read_pin,
    read_pointer,
    record_pointer,
    recorded_pointers,
    remove_pin,
    write_pin,
    write_pointer,
)
from uplift_core.command_words import ROLLBACK
from uplift_core.errors import UpliftError

KEEP = 7
STORAGE = "v1.5.0"  # format of the files: analysts' clients are older than the batch
NIGHTS = 2  # number of nights that are published: tonight's lists, and those they changed from
MIGRATIONS = ("quality", "migrations")  # those of the warehouse that publishes
# Outcomes of single users, of which figures are published.
OUTCOMES = frozenset({("decisions", "measured"), ("decisions", "outcomes")})
TRAINING = "training"  # cells are used by the batch alone; nobody else reads them


def publish(db: Warehouse, home: Home, experiment: BatchExperiment) -> Pointer:
    """Write a new snapshot of what is committed, and make it current, unless a pin holds.

    The caller's transaction stays open: the snapshot is written on a connection of its own. Only the
    seven newest snapshots are kept.

    Raises:
        UpliftError: the current snapshot or a bundle is missing or damaged.
    """
    home.published.mkdir(parents=True, exist_ok=True)
    previous = _previous(home.published, experiment.name)
    now = datetime.now(UTC)
    version = current_version(db, experiment.name)
    loaded = bundle.load(home.bundles / version)  # verifies what is about to be pointed at
    defaults = loaded.manifest.experiment.defaults
    entry = PublishedExperiment(
        model_version=version,
        bundle_sha256=bundle.manifest_sha256(home.bundles / version),
        arm=defaults.arm,
        learner=deciding_learner(db, experiment, defaults.arm),
        published_at=now,
    )
    published = previous.experiments if previous else {}
    others = {name: other for name, other in published.items() if name != experiment.name}
    number = _next_number(home.published, previous)
    snapshot_id = f"{now:%Y%m%dT%H%M%S%fZ}-{number}-{experiment.name}"
    file = f"snapshot-{snapshot_id}.duckdb"
    temporary = home.published / f".{file}.part"
    try:
        before = home.published / previous.file if previous and others else None
        with db.second_connection() as reader:
            _copy(reader, temporary, before, experiment)
        sync_file(temporary)
        temporary.replace(home.published / file)
        sync_folder(home.published)
    finally:
        temporary.unlink(missing_ok=True)
    pointer = Pointer(
        number=number,
        snapshot_id=snapshot_id,
        file=file,
        sha256=sha256_file(home.published / file),
        published_at=now,
        experiments=others | {experiment.name: entry},
    )
    record_pointer(home.published, pointer)
    make_current(home.published, pointer)
    _prune(home.published, keep={pointer.file, read_pointer(home.published).file})
    remove_unused(db, home)
    return pointer


def _previous(published: Path, experiment: str) -> Pointer | None:
    """Return the newest pointer; other experiments' tables are copied from its snapshot.

    Raises:
        UpliftError: it or its snapshot is missing or damaged; other experiments must not be lost.
    """
    if not (published / POINTER).exists():
        return None
    pointer = newest_pointer(published)  # under a pin, what waits has the other experiments' last tables
    path = published / pointer.file
    if not path.is_file():
        raise UpliftError(f"{published}: the pointer names {pointer.file}, which is missing")
    if {*pointer.experiments} - {experiment} and sha256_file(path) != pointer.sha256:
        raise UpliftError(
            f"{path}: damaged, and it holds other experiments' tables; point to an earlier snapshot "
            f"first ({ROLLBACK}), or move CURRENT.json away to publish without them"
        )
    return pointer


def _next_number(published: Path, previous: Pointer | None) -> int:
    """Return a number above those of all kept snapshots and of the current one."""
    pointers = [*recorded_pointers(published), *([previous] if previous else [])]
    return 1 + max((pointer.number for pointer in pointers), default=0)


def _copy(db: Warehouse, target: Path, previous: Path | None, experiment: BatchExperiment) -> None:
    """Copy this experiment's tables from the warehouse, all others' from the previous snapshot.

    ``db`` has no open transaction: databases cannot be attached inside one.
    """
    (warehouse,) = db.one("select current_database()")
    try:
        db.rows(f"attach $path as snapshot (storage_version '{STORAGE}')", {"path": str(target)})
        if previous:
            db.rows("attach $path as previous (read_only)", {"path": str(previous)})
        db.rows("begin")
        try:
            _copy_schema(db, warehouse)
            databases = [warehouse, "previous"] if previous else [warehouse]
            for database in databases:
                for table in _tables(db, database):
                    _copy_table(db, table, experiment, fresh=database == warehouse)
                for view, sql in _views(db, database):
                    if view != LEDGER[1] and _belongs(experiment, view) == (database == warehouse):
                        _copy_view(db, warehouse, sql)
            _copy_comments(db, databases)
            known_users.copy_contacts(db, experiment.name, "snapshot")
            db.rows("use snapshot")
            show_parts(db)
            known_users.sort_newest_lists(db)
            create_rules(db)
            db.rows(f"use {Identifier.of(warehouse)}")
        except BaseException:
            db.rows("rollback")  # or detaching would fail, and hide what happened
            raise
        db.rows("commit")
    finally:
        db.rows(f"use {Identifier.of(warehouse)}")
        for name in ("snapshot", "previous"):
            db.rows(f"detach database if exists {name}")


def _copy_schema(db: Warehouse, warehouse: str) -> None:
    db.rows("use snapshot")
    for schema in SCHEMAS:
        if schema != TRAINING:
            db.rows(f"create schema {Identifier.of(schema)}")
    known_users.create_tables(db)
    db.rows(f"use {Identifier.of(warehouse)}")


@dataclass(frozen=True)
class _Table:
    """The place of a table."""

    database: str
    schema: str
    name: str


def _tables(db: Warehouse, database: str) -> list[_Table]:
    rows = db.rows(
        "select schema_name, table_name from duckdb_tables() where database_name = $database "
        "and schema_name = any($schemas) order by all",
        {"database": database, "schemas": [s for s in SCHEMAS if s != TRAINING]},
    )
    return [_Table(database, schema, table) for schema, table in rows if (schema, table) not in OUTCOMES]


def _views(db: Warehouse, database: str) -> list[tuple[str, str]]:
    """Return names and SQL of the views over partitions, which a cluster's workers wrote."""
    rows = db.rows(
        "select view_name, sql from duckdb_views() where database_name = $database "
        "and schema_name = any($schemas) order by all",
        {"database": database, "schemas": [s for s in SCHEMAS if s != TRAINING]},
    )
    return [(str(view), str(sql)) for view, sql in rows]


def _copy_view(db: Warehouse, warehouse: str, sql: str) -> None:
    db.rows("use snapshot")
    db.rows(sql)
    db.rows(f"use {Identifier.of(warehouse)}")


def _belongs(experiment: BatchExperiment, table: str) -> bool:
    """Return whether a table without a column ``experiment`` belongs to this experiment."""
    name = experiment.name
    return table in {
        name,
        _population(experiment),
        *(f"{name}_{history}" for history in experiment.declaration.tables),
    }


def _population(experiment: BatchExperiment) -> str:
    return f"{experiment.name}_population"


def _copy_table(db: Warehouse, table: _Table, experiment: BatchExperiment, *, fresh: bool) -> None:
    """Copy the rows of the experiment if ``fresh``; else the rows of all other experiments."""
    if table.name == _population(experiment) and fresh and not experiment.declaration.population:
        return  # an earlier declaration had a population, this one has none
    source = Identifier.of(table.database, table.schema, table.name)
    # A ledger that is a view in one of both databases becomes one when all is copied.
    place = (table.schema, table.name)
    if place == LEDGER_ROWS:
        place = LEDGER
    target = Identifier.of("snapshot", *place)
    columns = {row[0] for row in db.rows(f"describe {source}")}
    if "experiment" in columns:
        rows = f"from {source} where (experiment in ($experiment, $proof)) = $fresh"
        binds: dict[str, object] = {"experiment": experiment.name, "proof": PROOF, "fresh": fresh}
        if place in {LEDGER, REGISTRY} and fresh:
            rows += " and decision_date >= $since::date"
            binds["since"] = first_of_last(db, table.database, experiment.name, NIGHTS)
        db.rows(f"create table if not exists {target} as from {source} limit 0")
        # The previous snapshot may be of an earlier version, with columns that are gone.
        kept = [row[0] for row in db.rows(f"describe {target}") if row[0] in columns]
        db.rows(f"insert into {target} by name select {Identifier.listed(kept)} {rows}", binds)
    elif (_belongs(experiment, table.name) or place == MIGRATIONS) == fresh:
        db.rows(f"create table {target} as from {source}")


def _copy_comments(db: Warehouse, databases: list[str]) -> None:
    """Copy the comments of tables and columns; the warehouse's replace those of the snapshot before."""
    present = db.columns("snapshot")
    comments = {
        key: text for name in reversed(databases) for key, text in db.columns(name).items() if text
    }
    comments |= known_users.comments(db, "snapshot")
    copied = {key: text for key, text in comments.items() if key in present}
    for statement in comment_statements(copied, present, "snapshot"):
        db.rows(statement)


def roll_back(home: Home, snapshot_id: str = "", pin: Pin | None = None) -> Pointer:
    """Make an earlier snapshot the current one: ``snapshot_id``, or the one before the current.

    Nothing is removed. With a pin it stays current until ``lift`` is called; without, the next run makes
    a new snapshot current. An earlier pin stays, too.

    Raises:
        UpliftError: there is no such snapshot, or its file or a bundle is missing or damaged.
    """
    current = read_pointer(home.published)
    recorded = recorded_pointers(home.published)
    known = {pointer.snapshot_id: pointer for pointer in recorded}
    earlier = [pointer.snapshot_id for pointer in recorded if pointer.place < current.place]
    chosen = snapshot_id or (earlier[-1] if earlier else "")
    if chosen not in known:
        raise UpliftError(
            f"there is no snapshot '{chosen}'; kept are {[*known]}"
            if snapshot_id
            else f"there is no snapshot before {current.snapshot_id}, the current one"
        )
    pointer = known[chosen]
    _refuse_damaged(home, pointer, [*known])
    with changing(home.published):
        before = read_pin(home.published)
        if (
            pin
        ):  # first: a process that is killed here leaves a pin that is seen, not a rollback that ends
            waiting = before.waiting if before else None
            write_pin(home.published, pin.model_copy(update={"waiting": waiting}))
        write_pointer(home.published, pointer)
    return pointer


def lift(home: Home) -> Pointer:
    """End a pin: the newest snapshot that waits becomes current, or the next one.

    Raises:
        UpliftError: nothing is pinned, or the file or a bundle of what waits is missing or damaged.
    """
    if read_pin(home.published) is None:
        raise UpliftError(f"{home.published}: nothing is pinned")
    newest = newest_pointer(home.published)
    _refuse_damaged(home, newest, [pointer.snapshot_id for pointer in recorded_pointers(home.published)])
    with changing(home.published):
        pointer = newest_pointer(home.published)  # a run may have published meanwhile
        write_pointer(home.published, pointer)
        remove_pin(home.published)
    return pointer


def _refuse_damaged(home: Home, pointer: Pointer, known: list[str]) -> None:
    path = home.published / pointer.file
    if not path.is_file() or sha256_file(path) != pointer.sha256:
        raise UpliftError(f"{path}: missing or damaged; choose another of {known}")
    for name, entry in pointer.experiments.items():
        folder = home.bundles / entry.model_version
        if bundle.manifest_sha256(folder) != entry.bundle_sha256:
            raise UpliftError(f"{folder}: the bundle of {name} is not the one that was published")
        bundle.load(folder)


def _prune(published: Path, *, keep: set[str]) -> None:
    numbers = {pointer.file: pointer.number for pointer in recorded_pointers(published)}
    names = (path.name for path in published.glob("snapshot-*.duckdb"))
    snapshots = sorted(names, key=lambda name: (numbers.get(name, 0), name))
    for name in snapshots[:-KEEP]:
        if name not in keep:
            (published / name).unlink()
            forget_pointer(published, name)
    for left in published.glob(".snapshot-*.part*"):  # of a run that was killed
        left.unlink()
