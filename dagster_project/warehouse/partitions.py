"""Partitions: the Parquet files of workers, one per part, in folders that never change.

``UPLIFT_HOME/partitions/<experiment>/<layer>/<generation>/part-00000.parquet``. A materialization writes
a new generation and the warehouse's view then names it; a published snapshot still names the generation
of its publication. A file is written under a temporary name and renamed, so a task that runs again after
its worker died leaves the same files.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from dagster_project.warehouse.connection import Warehouse
from uplift_core.artifacts.files import sync_folder, written_aside
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError, UpliftError

ROW_GROUP = 122_880  # rows that a reader skips together; DuckDB's default
SPECIAL = "*?[]{}"  # characters that DuckDB reads as a pattern


@dataclass(frozen=True)
class Part:
    """A file that a worker wrote: its path, row count and columns (name and type)."""

    path: Path
    rows: int
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Generation:
    """One materialization of a layer: a folder of parts."""

    folder: Path

    @classmethod
    def new(cls, home: Home, experiment: str, layer: str) -> Generation:
        """Create a new, empty generation.

        Raises:
            UpliftError: the home's path contains a character of a pattern.
        """
        if any(sign in str(home.partitions) for sign in SPECIAL):
            raise UpliftError(f"UPLIFT_HOME = {home.root} holds one of {SPECIAL}; choose another folder")
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        folder = home.partitions.absolute() / experiment / layer / name
        folder.mkdir(parents=True)
        return cls(folder)

    def path(self, number: int) -> Path:
        """Return the path of one part."""
        return self.folder / f"part-{number:05}.parquet"

    @property
    def pattern(self) -> str:
        """The pattern of all parts; DuckDB reads them in order."""
        return str(self.folder / PATTERN)

    @property
    def files(self) -> list[Path]:
        """Paths of all parts, in order."""
        return sorted(self.folder.glob(PATTERN))

    def remove(self) -> None:
        """Remove the generation with its parts."""
        shutil.rmtree(self.folder)

    def close(self) -> None:
        """Remove half-written files of killed workers, and force the folder's entries to the disk."""
        for left in self.folder.glob(".part-*"):
            left.unlink(missing_ok=True)
        sync_folder(self.folder)


def write_part(
    db: Warehouse,
    select: str,
    binds: Mapping[str, object],
    target: Path,
    *,
    row_group: int = ROW_GROUP,
) -> Part:
    """Write the rows of ``select`` as one Parquet file, whole or not at all."""
    with written_aside(target) as aside:
        copy = f"copy ({select}) to $path (format parquet, row_group_size {row_group})"
        ((rows,),) = db.rows(copy, {**binds, "path": str(aside)})
    described = db.rows("describe from read_parquet($path)", {"path": str(target)})
    return Part(target, int(rows), tuple((str(c[0]), str(c[1])) for c in described))


def same_columns(what: str, parts: list[Part]) -> None:
    """Refuse parts that have different columns.

    Raises:
        DataError: names the first part and column that differ.
    """
    first = parts[0]
    for number, part in enumerate(parts):
        if part.columns != first.columns:
            here, there = next(
                ((a, b) for a, b in zip(part.columns, first.columns, strict=False) if a != b),
                (part.columns[-1], first.columns[-1]),
            )
            raise DataError(
                f"{what}: part {number} has {' '.join(here)} where part 0 has {' '.join(there)}; name "
                "the columns and their types in raw.sql"
            )


def remove_unused(db: Warehouse, home: Home) -> list[Path]:
    """Remove generations that neither the warehouse nor a kept snapshot names; return their folders."""
    if not home.partitions.is_dir():
        return []
    named = "\n".join([*_views(db), *_published_views(home)])
    unused = [
        folder
        for folder in sorted(home.partitions.absolute().glob("*/*/*"))
        if f"/{folder.name}/" not in named
    ]
    for folder in unused:
        shutil.rmtree(folder)
    return unused


def _views(db: Warehouse) -> list[str]:
    return [str(row[0]) for row in db.rows("select sql from duckdb_views() where not internal")]


def _published_views(home: Home) -> Iterator[str]:
    for path in home.published.glob("snapshot-*.duckdb"):
        with duckdb.connect(str(path), read_only=True) as con:
            yield from _views(Warehouse(con))


PATTERN = "part-*.parquet"
