"""The ledger of decisions: write a night, and refuse a warehouse that lost its nights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from dagster_project.decisions.records import THIS_LIST, ListKey
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.ledger_view import PARTS, REGISTRY, rows_table, show_parts
from dagster_project.warehouse.partitions import PATTERN
from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.table_names import LEDGER, LEDGER_ROWS, VIEW
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import POINTER, read_pointer
from uplift_core.artifacts.register import Register
from uplift_core.command_words import spoken
from uplift_core.errors import UpliftError

NEVER = "infinity"  # DuckDB's date after all others


@dataclass(frozen=True)
class NightParts:
    """A night's list in Parquet files, in the order of the export.

    The first ``ordered_files`` hold the users who have a rank. The other users follow by user id.
    """

    folder: Path
    files: int
    ordered_files: int

    @property
    def paths(self) -> Sequence[Path]:
        """Paths of all parts, sorted."""
        return sorted(self.folder.glob(PATTERN))


def write_rows(db: Warehouse, key: ListKey, select: str, binds: Mapping[str, object]) -> None:
    """Replace a night's list by the rows of ``select``."""
    _forget(db, key)
    db.rows(f"insert into {rows_table(db)} by name {select}", binds)


def write_parts(db: Warehouse, key: ListKey, parts: NightParts) -> None:
    """Replace a night's list by the files that workers wrote."""
    _forget(db, key)
    row = asdict(key) | asdict(parts) | {"folder": str(parts.folder)}
    db.rows(
        f"insert into {PARTS} values ($decision_date, $experiment, $campaign, $folder, $files, "
        "$ordered_files)",
        row,
    )
    show_parts(db)


def parts_of(db: Warehouse, key: ListKey) -> NightParts | None:
    """Return a night's parts; None if this machine made the list, or if there is none."""
    rows = db.rows(f"select folder, files, ordered_files from {PARTS} where {THIS_LIST}", asdict(key))
    return NightParts(Path(rows[0][0]), *rows[0][1:]) if rows else None


def first_of_last(db: Warehouse, database: str, experiment: str, nights: int) -> str:
    """Return the date from which on an attached database holds the last ``nights`` nights with a list.

    The search skips older lists by their row groups' dates, so it costs the same however many there are.
    Without a list the date is ``infinity``, later than every other.
    """
    tables = [
        Identifier.of(database, *place)
        for place in (LEDGER, LEDGER_ROWS, REGISTRY)
        if db.kind(Identifier.of(*place), database) not in {"", VIEW}
    ]
    first = NEVER
    for _ in range(nights):
        newest = [
            row[0]
            for table in tables
            for row in db.rows(
                f"select decision_date from {table} where experiment = $experiment "
                "and decision_date < $first::date order by decision_date desc limit 1",
                {"experiment": experiment, "first": first},
            )
        ]
        if not newest:
            break
        first = max(newest).isoformat()
    return first


def refuse_lost_ledger(db: Warehouse, home: Home, experiment: str, *, start_anew: bool) -> None:
    """Refuse a warehouse that lacks the published ledger of an experiment.

    Such a warehouse has replaced another one: users who had unsubscribed would be treated, and the next
    snapshot would lose its nights. ``start_anew`` accepts it.

    Raises:
        UpliftError: names the missing rows and the command that carries them over.
    """
    if start_anew or not (home.published / POINTER).is_file():
        return
    snapshot = home.published / read_pointer(home.published).file
    nights, suppressed, registered = _ledger_of(snapshot, experiment)
    known_entries = Register(home.register).last_entry
    if known_entries < registered:
        raise UpliftError(
            f"{experiment}: {home.register} holds entries up to {known_entries}, but the published "
            f"lists obey entry {registered}: it was lost, or an older one is in its place. Take it from "
            f"a backup (`{spoken('restore', 'backup --from')}` into another home brings it), or enter "
            f"anew whom decisions.registered of {snapshot} names "
            f"({spoken('suppress FILE=...', 'suppress --file ...')}). "
            "UPLIFT_NEW_LEDGER=true goes on without: then "
            "these users are treated again"
        )
    here = "from decisions.{} where experiment = $experiment"
    binds = {"experiment": experiment}
    known = {
        tuple(row)
        for row in db.rows(f"select decision_date::varchar, campaign {here.format('nights')}", binds)
    }
    lost = [f"{len(nights - known)} nights"] if nights - known else []
    # One suppression may be withdrawn. If all are missing and there is no night, the ledger was lost.
    (suppressed_here,) = db.one(f"select count(*) {here.format('suppressions')}", binds)
    if suppressed and not known and not suppressed_here:
        lost += [f"{suppressed} suppressed users"]
    if lost:
        carry = spoken("carry-ledger FROM=", "carry-ledger ")
        raise UpliftError(
            f"{experiment}: {home.warehouse} lacks {' and '.join(lost)} that are published. Carry the "
            f"ledger over from the earlier warehouse: {carry}<its file>; "
            f"if that file is gone, from the published snapshot: {carry}{snapshot}. "
            "UPLIFT_NEW_LEDGER=true starts without the earlier ledger: then users who had unsubscribed "
            "are treated again, and the next snapshot lacks the earlier nights"
        )


def _ledger_of(snapshot: Path, experiment: str) -> tuple[set[tuple[str, str]], int, int]:
    """Read an experiment's ledger from a snapshot; a missing or damaged file counts as empty.

    Returns:
        Its nights (date, campaign); the number of users in ``decisions.suppressions``; the last entry of
        the register that its lists obey, 0 for none.
    """
    binds = {"experiment": experiment}
    try:
        with duckdb.connect(str(snapshot), read_only=True) as con:
            nights = con.execute(
                "select decision_date::varchar, campaign from decisions.nights "
                "where experiment = $experiment",
                binds,
            ).fetchall()
            ((suppressed,),) = con.execute(
                "select count(*) from decisions.suppressions where experiment = $experiment", binds
            ).fetchall()
            registered = _last_entry(con, experiment)
    except duckdb.Error:
        return set(), 0, 0
    return {(str(date), str(campaign)) for date, campaign in nights}, int(suppressed), registered


def _last_entry(con: duckdb.DuckDBPyConnection, experiment: str) -> int:
    known = "from duckdb_tables() select 1 where schema_name = 'decisions' and table_name = 'registered'"
    if not con.execute(known).fetchall():
        return 0  # an earlier version published it
    sql = "select coalesce(max(entry), 0) from decisions.registered where experiment = $experiment"
    return int(con.execute(sql, {"experiment": experiment}).fetchall()[0][0])


def _forget(db: Warehouse, key: ListKey) -> None:
    db.rows(f"delete from {rows_table(db)} where {THIS_LIST}", asdict(key))
    if parts_of(db, key):
        db.rows(f"delete from {PARTS} where {THIS_LIST}", asdict(key))
        show_parts(db)
