"""The ledger of decisions: ``decisions.treat_list``, of nights made here and of nights in parts.

It is a plain table as long as all nights are made on this machine. With the first one that workers
make, the table becomes ``decisions.treat_list_here``, and a view of the old name puts the workers'
Parquet beside its rows: who reads the ledger sees no difference. Each night of the view stands for
itself, with its key as constants, so that a query about one night reads no other night's rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dagster_project.comments import comment_statements
from dagster_project.nights import THIS_LIST, TREAT_LIST, ListKey
from dagster_project.sqlfiles import Identifier, literal
from dagster_project.warehouse import LEDGER, LEDGER_ROWS, VIEW, Warehouse

REGISTRY = ("decisions", "treat_list_parts")
PARTS = Identifier.of(*REGISTRY)
ROWS = Identifier.of(*LEDGER_ROWS)
PATTERN = "part-*.parquet"


@dataclass(frozen=True)
class NightParts:
    """A night's list in parts, in the order in which it is exported.

    ``ordered_files`` are the first ones: of users who have a rank. The others follow by user id.
    """

    folder: Path
    files: int
    ordered_files: int

    @property
    def paths(self) -> Sequence[Path]:
        """Every part."""
        return sorted(self.folder.glob(PATTERN))


def write_rows(db: Warehouse, key: ListKey, select: str, binds: Mapping[str, object]) -> None:
    """Replace a night's list by the rows of ``select``."""
    _forget(db, key)
    db.rows(f"insert into {_rows(db)} by name {select}", binds)


def write_parts(db: Warehouse, key: ListKey, parts: NightParts) -> None:
    """Replace a night's list by what workers wrote."""
    _forget(db, key)
    row = asdict(key) | asdict(parts) | {"folder": str(parts.folder)}
    db.rows(
        f"insert into {PARTS} values ($decision_date, $experiment, $campaign, $folder, $files, "
        "$ordered_files)",
        row,
    )
    show_parts(db)


def parts_of(db: Warehouse, key: ListKey) -> NightParts | None:
    """A night's parts; None if it was made here, or not at all."""
    rows = db.rows(f"select folder, files, ordered_files from {PARTS} where {THIS_LIST}", asdict(key))
    return NightParts(Path(rows[0][0]), *rows[0][1:]) if rows else None


def dates_of(db: Warehouse, database: str, experiment: str) -> list[str]:
    """Dates of an experiment's lists in an attached database, the newest first."""
    found: set[str] = set()
    for place in (LEDGER, LEDGER_ROWS, REGISTRY):
        if db.kind(Identifier.of(*place), database) in {"", VIEW}:
            continue
        rows = db.rows(
            f"select distinct decision_date::varchar from {Identifier.of(database, *place)} "
            "where experiment = $experiment",
            {"experiment": experiment},
        )
        found |= {str(date) for (date,) in rows}
    return sorted(found, reverse=True)


def show_parts(db: Warehouse) -> None:
    """Let ``decisions.treat_list`` be its table and all registered parts."""
    nights = db.rows(
        f"select decision_date::varchar, experiment, campaign, folder from {PARTS} order by all"
    )
    if db.kind(TREAT_LIST) != VIEW:
        if not nights:
            return
        db.rows(f"alter table {TREAT_LIST} rename to {Identifier.of(LEDGER_ROWS[1])}")
    each = [
        f"select * replace (date {literal(date)} as decision_date, {literal(experiment)} as experiment, "
        f"{literal(campaign)} as campaign) "
        f"from read_parquet({literal(f'{folder}/{PATTERN}')}, hive_partitioning = false)"
        for date, experiment, campaign, folder in nights
    ]
    whole = " union all by name ".join([f"from {ROWS}", *each])
    db.rows(f"create or replace view {TREAT_LIST} as {whole}")
    said = {(*LEDGER, k[2]): text for k, text in db.columns().items() if k[:2] == LEDGER_ROWS and text}
    for statement in comment_statements(said, {}, of="view"):
        db.rows(statement)


def _rows(db: Warehouse) -> Identifier:
    """The table of nights made here."""
    return ROWS if db.kind(TREAT_LIST) == VIEW else TREAT_LIST


def _forget(db: Warehouse, key: ListKey) -> None:
    db.rows(f"delete from {_rows(db)} where {THIS_LIST}", asdict(key))
    if parts_of(db, key):
        db.rows(f"delete from {PARTS} where {THIS_LIST}", asdict(key))
        show_parts(db)
