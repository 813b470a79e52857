"""One exported file: Parquet or CSV, whole or not at all, and its entry of the manifest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.artifacts.files import sha256_file, written_aside

FORMATS = {"parquet": "(format parquet, compression zstd)", "csv": "(format csv, header true)"}
# The start of a text that a spreadsheet reads as a formula (OWASP, CSV injection); an apostrophe makes
# it text. Keys are not changed: with an apostrophe, no machine would know the user.
FORMULA = r"^[=+\-@\t\r]"


@dataclass(frozen=True)
class Sheet:
    """The rows to export under one name.

    Attributes:
        experiment: the experiment of the list.
        name: the file's name; without the number if there are several files.
        select: the query of its rows, in order.
        binds: the binds of ``select``.
        keys: columns of ``select`` that machines use to look up users and lists.
        parts: parts of the ledger with its rows, in order; empty if the rows are not in parts.
        reads: views that ``select`` reads beside the ledger, if it runs part by part.
    """

    experiment: str
    name: str
    select: str
    binds: Mapping[str, object]
    keys: Collection[str]
    parts: Sequence[Path] = ()
    reads: Mapping[Identifier, str] = field(default_factory=dict)


WriteSheet = Callable[[Warehouse, Sheet, Path, Sequence[str]], list[dict[str, Any]]]


def write_file(db: Warehouse, sheet: Sheet, path: Path) -> dict[str, Any]:
    """Write a sheet's rows in the format of the path's suffix; return its entry of the manifest."""
    ending = path.suffix[1:]
    source = _without_formulas(db, sheet) if ending == "csv" else sheet.select
    with written_aside(path) as aside:
        copy = f"copy ({source}) to $path {FORMATS[ending]}"
        ((rows,),) = db.rows(copy, {**sheet.binds, "path": str(aside)})
    return {
        "path": path.name,
        "rows": rows,
        "bytes": path.stat().st_size,
        "sha256": sha256_file(path),
    }


def write_whole(
    db: Warehouse, sheet: Sheet, folder: Path, formats: Sequence[str]
) -> list[dict[str, Any]]:
    """Write one file per format; CSV is copied from the Parquet file, which is sorted already."""
    written = {}
    for ending in sorted(formats, key=list(FORMATS).index):
        path = folder / f"{sheet.name}.{ending}"
        written[ending] = write_file(db, sheet, path)
        if ending == "parquet":
            sheet = replace(sheet, select="from read_parquet($written)", binds={"written": str(path)})
    return [written[ending] for ending in formats]


def _without_formulas(db: Warehouse, sheet: Sheet) -> str:
    columns = db.rows(f"describe {sheet.select}", sheet.binds)
    texts = [
        Identifier.of(name)
        for name, type_, *_ in columns
        if type_ == "VARCHAR" and name not in sheet.keys
    ]
    safe = ", ".join(
        f"if(regexp_matches({column}, '{FORMULA}'), '''' || {column}, {column}) as {column}"
        for column in texts
    )
    return f"select * replace ({safe}) from ({sheet.select})" if safe else sheet.select
