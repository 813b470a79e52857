"""Export a list that is in parts: every worker writes the files of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dagster_project.compute.cluster.jobs import Tasks
from dagster_project.compute.cluster.tasks import Limits, opened
from dagster_project.decisions.records import TREAT_LIST
from dagster_project.delivery.export_files import Sheet, write_file
from uplift_core.errors import DataError


def write_parts(
    tasks: Tasks, sheet: Sheet, folder: Path, formats: Sequence[str]
) -> list[dict[str, Any]]:
    """Write a sheet as one file per part and format; in order, the files are the whole sheet."""
    names = [f"{sheet.name}-{i:05}.{ending}" for ending in formats for i, _ in enumerate(sheet.parts)]
    parts = [str(part) for _ in formats for part in sheet.parts]
    calls = [(tasks.limits, sheet, part, folder / name) for part, name in zip(parts, names, strict=True)]
    entries = tasks.run(f"export-{sheet.name}", export_part, calls)
    for left in folder.glob(f".{sheet.name}-*"):  # from workers that were killed
        left.unlink()
    return entries


def export_part(limits: Limits, sheet: Sheet, part: str, path: Path) -> dict[str, Any]:
    """Write the rows of one part of the ledger; on a worker.

    Raises:
        DataError: the worker does not see the folder.
    """
    if not path.parent.is_dir():
        raise DataError(
            f"{path.parent}: a worker does not see this folder; set UPLIFT_EXPORTS to a folder of the "
            "shared file system, or to the address of an object store"
        )
    with opened(limits, {TREAT_LIST: part, **sheet.reads}) as db:
        return write_file(db, sheet, path)
