"""The treat list as files that a campaign tool takes.

An export is a folder of its own that never changes; ``manifest.json`` beside it is replaced last and
atomically, and names the files that belong together with their sha256.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from dagster_project.decisions import TREAT_LIST
from dagster_project.folders import ExperimentFolder
from dagster_project.warehouse import Warehouse
from uplift_core.errors import DataError
from uplift_core.files import replace_file, sha256_file, sync_file, sync_folder

FORMATS = {"parquet": "(format parquet, compression zstd)", "csv": "(format csv, header true)"}


def export_treat_list(db: Warehouse, root: Path, folder: ExperimentFolder) -> Path:
    """Write the newest list of the experiment; returns the path of its manifest."""
    (date,) = db.one(
        f"select max(decision_date)::varchar from {TREAT_LIST} where experiment = $name",
        {"name": folder.name},
    )
    if date is None:
        raise DataError(f"{folder.name}: there is no treat list; materialize treat_list first")
    target = root / folder.name / date
    target.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".export-", dir=target))
    try:
        content = _manifest(db, folder, date) | {"files": _write(db, folder, date, temporary)}
        version = _version(content["files"])
        for entry in content["files"]:
            entry["path"] = f"{version}/{entry['path']}"
        if not (target / version).exists():
            temporary.chmod(0o755)
            temporary.rename(target / version)
            sync_folder(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    manifest = target / "manifest.json"
    replace_file(manifest, json.dumps(content, indent=2).encode())
    for old in target.iterdir():  # earlier exports of the same date, which no manifest names now
        if old.is_dir() and old.name != version:
            shutil.rmtree(old)
    return manifest


def _write(db: Warehouse, folder: ExperimentFolder, date: str, temporary: Path) -> list[dict[str, Any]]:
    entries = []
    for ending, options in FORMATS.items():
        path = temporary / f"treat_list.{ending}"
        db.rows(
            f"copy (select * from {TREAT_LIST} where experiment = $name "
            "and decision_date = $date::date order by arm, rank nulls last, user_id) "
            f"to $path {options}",
            {"name": folder.name, "date": date, "path": str(path)},
        )
        sync_file(path)
        entries.append({"path": path.name, "sha256": sha256_file(path), "bytes": path.stat().st_size})
    return entries


def _manifest(db: Warehouse, folder: ExperimentFolder, date: str) -> dict[str, Any]:
    lists = db.arrow(
        "select arm, learner, model_version, budget, "
        "case when isfinite(threshold) then threshold end as threshold, "  # JSON knows no infinity
        "count(*) as rows, count(*) filter (treated) as treated, "
        "count(*) filter (decision = 'holdout') as holdout, "
        "count(*) filter (decision = 'explore') as explore, "
        f"count(*) filter (decision = 'suppressed') as suppressed from {TREAT_LIST} "
        "where experiment = $name and decision_date = $date::date group by all order by arm",
        {"name": folder.name, "date": date},
    )
    return {
        "format": 1,
        "experiment": folder.name,
        "decision_date": date,
        "lists": lists.to_pylist(),
    }


def _version(files: list[dict[str, Any]]) -> str:
    digests = "".join(entry["sha256"] for entry in files)
    return hashlib.sha256(digests.encode()).hexdigest()[:12]
