"""Erase a user from files that are no database: exports, the decision log, Dagster's store."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export import MANIFEST, SUCCESS, folders_of
from dagster_project.delivery.export_files import FORMATS
from dagster_project.delivery.stores import Store, prepared
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, literal
from uplift_core.artifacts.files import sha256_file

BLOCK = 1 << 22  # bytes that are searched at once
PREVIEW = "preview"  # the label of rows in Dagster's metadata


def erase_from_exports(
    db: Warehouse,
    store: Store,
    experiment: BatchExperiment,
    own_ids: Sequence[str],
    users: Sequence[int],
) -> int:
    """Write the exported lists with the user anew; return how many.

    A list's files get a new folder, its manifest new hashes and row counts; older folders are removed.
    """
    return sum(
        _erase_from_list(db, store, f"{experiment.name}/{date}/{campaign}", experiment, own_ids, users)
        for date in _folders(store, experiment.name)
        for campaign in _folders(store, f"{experiment.name}/{date}")
    )


def _folders(store: Store, name: str) -> list[str]:
    try:
        return store.folders(name)
    except FileNotFoundError:
        return []


def _erase_from_list(  # noqa: PLR0913, PLR0917 - the list and the user
    db: Warehouse,
    store: Store,
    path: str,
    experiment: BatchExperiment,
    own_ids: Sequence[str],
    users: Sequence[int],
) -> bool:
    content = store.read(f"{path}/{MANIFEST}")
    if content is None:
        return False
    manifest: dict[str, Any] = json.loads(content)
    before = {Path(file["path"]).name: file["rows"] for file in manifest["files"]}
    with prepared(store) as folder:
        files = []
        for file in manifest["files"]:
            target = folder / Path(file["path"]).name
            target.write_bytes(store.read(f"{path}/{file['path']}") or b"")
            files.append(_without(db, target, experiment.declaration.id_column, own_ids, users))
        changed = any(file["rows"] != before[file["path"]] for file in files)
        version = hashlib.sha256("".join(file["sha256"] for file in files).encode()).hexdigest()[:12]
        if changed:
            store.put_folder(folder, f"{path}/{version}")
    if changed:
        manifest["files"] = [file | {"path": f"{version}/{file['path']}"} for file in files]
        content = json.dumps(manifest, indent=2, allow_nan=False).encode()
        store.replace(f"{path}/{MANIFEST}", content)
        store.replace(f"{path}/{SUCCESS}", hashlib.sha256(content).hexdigest().encode())
    named = folders_of(manifest)
    for old in store.folders(path):
        if old not in named:
            store.remove_folder(f"{path}/{old}")
    return changed


def _without(
    db: Warehouse, path: Path, id_column: str, own_ids: Sequence[str], users: Sequence[int]
) -> dict[str, Any]:
    """Write one exported file anew without the user; return its entry of the manifest."""
    ending = path.suffix[1:]
    read, columns = _reader(path)
    conditions = ["true"]
    binds: dict[str, object] = {"path": str(path)}
    for column, values in ((id_column, list(own_ids)), ("user_id", [str(user) for user in users])):
        if column in columns:
            conditions.append(
                f"{Identifier.of(column)}::varchar not in (select unnest(${column_bind(column)}))"
            )
            binds[column_bind(column)] = values
    target = path.with_name(f".{path.name}")
    copy = f"copy (from {read} where {' and '.join(conditions)}) to $target {FORMATS[ending]}"
    ((rows,),) = db.rows(copy, binds | {"target": str(target)})
    target.replace(path)
    return {
        "path": path.name,
        "rows": rows,
        "bytes": path.stat().st_size,
        "sha256": sha256_file(path),
    }


def column_bind(column: str) -> str:
    """Return the name of the bound values of a column of ids."""
    return "users" if column == "user_id" else "own_ids"


def _reader(path: Path) -> tuple[str, list[str]]:
    """Return the call that reads an exported file as it was written, and its columns."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq  # noqa: PLC0415 - of parquet alone

        return "read_parquet($path)", list(pq.read_schema(path).names)
    with path.open(newline="", encoding="utf-8") as file:
        columns = next(csv.reader(file))
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in columns)
    # An empty text is written in quotation marks, a missing value without.
    form = "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"'"
    nulls = "allow_quoted_nulls = false, strict_mode = false"
    return f"read_csv($path, {form}, {nulls}, columns = {{{types}}})", columns


def erase_from_log(path: Path | None, users: Sequence[int], own_ids: Sequence[str]) -> int:
    """Take the user's lines out of the API's log of decisions; return how many.

    The file is changed in place, under the lock that the API's workers write with.
    """
    if path is None or not path.is_file():
        return 0
    ids = {*map(str, users), *own_ids}
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lines = file.read().splitlines(keepends=True)
        kept = [line for line in lines if not _is_about(line, ids)]
        if len(kept) < len(lines):
            file.seek(0)
            file.write(b"".join(kept))
            file.truncate()
    return len(lines) - len(kept)


def _is_about(line: bytes, ids: Collection[str]) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return str(entry.get("user_id")) in ids or str(entry.get("own_id")) in ids


def erase_previews(folder: Path) -> int:
    """Take the first rows of tables, which runs of earlier versions showed, out of Dagster's store.

    Returns:
        The number of records that had them.
    """
    changed = 0
    for path in sorted(folder.rglob("*.db")):
        with closing(sqlite3.connect(path)) as con:
            before = changed
            for table, column in (("event_logs", "event"), ("asset_keys", "last_materialization")):
                if con.execute("select 1 from sqlite_master where name = ?", [table]).fetchone():
                    changed += _erase_column(con, table, column)
            if changed > before:
                con.commit()
                con.execute("vacuum")
                con.execute("pragma wal_checkpoint(truncate)")
    return changed


def _erase_column(con: sqlite3.Connection, table: str, column: str) -> int:
    rows = con.execute(
        f"select rowid, {column} from {table} where {column} like ?", [f'%"{PREVIEW}"%']
    ).fetchall()
    for number, text in rows:
        event = json.loads(text)
        _blank(event)
        con.execute(f"update {table} set {column} = ? where rowid = ?", [json.dumps(event), number])
    return len(rows)


def _blank(value: object) -> None:
    """Remove metadata entries with the label of previews, at any depth."""
    if isinstance(value, list):
        value[:] = [
            item for item in value if not (isinstance(item, dict) and item.get("label") == PREVIEW)
        ]
    elif isinstance(value, dict):
        value.pop(PREVIEW, None)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _blank(inner)


def files_with(folder: Path, texts: Sequence[str]) -> list[str]:
    """List the files below a folder, relative to it, that contain one of the texts."""
    needles = [text.encode() for text in texts]
    reach = max(map(len, needles), default=1) - 1
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if needles else []
    return [str(path.relative_to(folder)) for path in files if _contains(path, needles, reach)]


def _contains(path: Path, needles: Sequence[bytes], reach: int) -> bool:
    with path.open("rb") as file:
        end = b""
        while block := file.read(BLOCK):
            whole = end + block
            if any(needle in whole for needle in needles):
                return True
            end = whole[-reach:] if reach else b""
    return False
