"""Export a night's list as files for a campaign tool.

``treat`` holds the users to treat and no others, ``decisions`` the decision about every user,
``changes`` the users who entered and left, ``holdout`` the users whom nobody may treat. The declared id
of users is the first column of each file.

``<experiment>/<date>/<campaign>/`` holds ``manifest.json`` and ``_SUCCESS`` with the manifest's sha256.
The manifest names files in a subfolder; these files never change. The files are written first, then the
manifest, ``_SUCCESS`` last, each whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dagster_project.decisions.ledger import parts_of
from dagster_project.decisions.records import (
    GATES,
    LIST_RULES,
    NIGHT_ARMS,
    NIGHTS,
    THIS_LIST,
    TREAT_LIST,
    ListKey,
)
from dagster_project.delivery.export_files import FORMATS, Sheet, WriteSheet
from dagster_project.delivery.exported_rules import export_rules
from dagster_project.delivery.stores import Store, prepared
from dagster_project.training.arm_policies import ARM_POLICIES
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.errors import DataError
from uplift_core.targeting.arm_choice import BEST

TREAT = "treat"
# The exported sheets, and the order of their rows.
ORDERS = {
    TREAT: "listed.rank",
    "decisions": "listed.rank nulls last, listed.user_id",
    "changes": "listed.change, listed.user_id",
    "holdout": "listed.user_id",
}
Formats = Mapping[str, Sequence[str]]  # sheet -> formats to write it in
EVERY_FORMAT: Formats = dict.fromkeys(ORDERS, tuple(FORMATS))
# The CSV of all users is nearly all of an export's bytes.
CSV_OF_TREAT: Formats = dict.fromkeys(ORDERS, ("parquet",)) | {TREAT: tuple(FORMATS)}
# Machines look users and lists up by these columns; other texts may come from any source.
KEYS = frozenset({"user_id", "experiment", "campaign", "arm", "previous_arm"})
FORMAT = 3
MANIFEST, SUCCESS = "manifest.json", "_SUCCESS"


@dataclass(frozen=True)
class UserIds:
    """The column of a raw table with the declared ids of users."""

    column: str
    table: Identifier


def export_treat_list(  # noqa: PLR0913 - list, target and format
    db: Warehouse,
    store: Store,
    key: ListKey,
    *,
    write_sheet: WriteSheet,
    ids: UserIds | None = None,
    formats: Formats = EVERY_FORMAT,
) -> str:
    """Write one list; return the address of its manifest.

    ``write_sheet`` writes one sheet in its formats, on this machine or on a cluster. The declared ids of
    users become the first column of every file. If the list is in parts, a cluster's workers write one
    file per part, ``treat-00000.csv`` and so on; in the manifest's order, they are the whole list.
    """
    path = list_path(key)
    night = _night(db, key)
    rules = export_rules(db, store, path, key, night)
    with prepared(store) as folder:
        files = [
            file
            for sheet in _sheets(db, key, ids)
            for file in write_sheet(db, sheet, folder, formats[sheet.name])
        ]
        version = hashlib.sha256("".join(f["sha256"] for f in files).encode()).hexdigest()[:12]
        manifest = _manifest(db, store, key, night) | {
            "files": [file | {"path": f"{version}/{file['path']}"} for file in files],
            "rules": rules.files,
            "score_rule": rules.score,
        }
        if not all(store.sha256(f"{path}/{f['path']}") == f["sha256"] for f in manifest["files"]):
            store.put_folder(folder, f"{path}/{version}")
    before = store.read(f"{path}/{MANIFEST}")
    content = json.dumps(manifest, indent=2, allow_nan=False).encode()
    store.replace(f"{path}/{MANIFEST}", content)
    store.replace(f"{path}/{SUCCESS}", hashlib.sha256(content).hexdigest().encode())
    # A reader that has just read the previous manifest can still read its files.
    folders_to_keep = folders_of(manifest) | folders_of(json.loads(before or b"{}"))
    for old in store.folders(path):
        if old not in folders_to_keep:
            store.remove_folder(f"{path}/{old}")
    return store.url(f"{path}/{MANIFEST}")


def folders_of(manifest: Mapping[str, Any]) -> set[str]:
    """Return the folders of the files that a manifest names; earlier versions export no rules."""
    named = [*manifest.get("files", ()), *manifest.get("rules", ())]
    return {file["path"].partition("/")[0] for file in named}


def files_to_treat(store: Store, key: ListKey, ending: str = "csv") -> list[str]:
    """List the addresses of the ``treat`` files from the manifest; none if the list was not exported."""
    content = store.read(f"{list_path(key)}/{MANIFEST}")
    names = [Path(entry["path"]) for entry in json.loads(content)["files"]] if content else []
    return [
        store.url(f"{list_path(key)}/{name.as_posix()}")
        for name in names
        if name.suffix == f".{ending}" and name.stem.partition("-")[0] == TREAT
    ]


def manifest_digest(store: Store, key: ListKey) -> str:
    """Return the sha256 of a list's manifest.

    Raises:
        DataError: the list was not exported.
    """
    content = store.read(f"{list_path(key)}/{SUCCESS}")
    if content is None:
        raise DataError(
            f"{key.experiment}: the list of {key.decision_date}, campaign '{key.campaign}', was not "
            "exported; materialize export for its date first"
        )
    return content.decode()


def url_of_manifest(store: Store, key: ListKey) -> str:
    """Return the address of a list's manifest."""
    return store.url(f"{list_path(key)}/{MANIFEST}")


def list_path(key: ListKey) -> str:
    """Return the folder of a list in a store."""
    return f"{key.experiment}/{key.decision_date}/{key.campaign}"


def select_users(db: Warehouse, key: ListKey, sheet: str) -> tuple[str, dict[str, object]]:
    """Return the query of a sheet's users by ``user_id``, in the sheet's order, and its binds."""
    binds: dict[str, object] = {**asdict(key)}
    if sheet == TREAT:
        return render("decisions/treated_users.sql", treat_list=TREAT_LIST), binds
    if sheet == "decisions":
        return render("decisions/exported_decisions.sql", treat_list=TREAT_LIST), binds
    if sheet == "holdout":
        return render("decisions/holdout_users.sql", treat_list=TREAT_LIST), binds
    previous, arm = db.one(
        f"select previous_date::varchar, arm from {NIGHTS} where {THIS_LIST}", asdict(key)
    )
    changes = render("decisions/changes.sql", treat_list=TREAT_LIST, arms=arm == BEST)
    return f"from ({changes}) as listed order by {ORDERS[sheet]}", binds | {"previous_date": previous}


def _sheets(db: Warehouse, key: ListKey, ids: UserIds | None) -> list[Sheet]:
    """Return the sheets to export; ``changes`` needs all users at once, the others work part by part."""
    reads = {ids.table: db.files_of(ids.table)} if ids else {}
    parts = _parts(db, key) if all(reads.values()) else {}
    sheets = [
        Sheet(
            experiment=key.experiment,
            name=name,
            select=select,
            binds=binds,
            keys=KEYS | ({ids.column} if ids else set()),
            parts=parts.get(name, ()),
            reads=reads,
        )
        for name in ORDERS
        for select, binds in [select_users(db, key, name)]
    ]
    return [_with_declared_id(db, sheet, ids) for sheet in sheets] if ids else sheets


def _parts(db: Warehouse, key: ListKey) -> dict[str, Sequence[Path]]:
    """Return the ledger's parts with the rows of each sheet; empty if this machine made the list."""
    night = parts_of(db, key)
    if night is None:
        return {}
    ordered, others = night.paths[: night.ordered_files], night.paths[night.ordered_files :]
    rows = db.rows(
        "select distinct filename from read_parquet($files, filename = true, hive_partitioning = false) "
        "where treated",
        {"files": [str(path) for path in ordered]},
    )
    treated = {Path(file) for (file,) in rows}
    # A list that treats nobody is a file without rows.
    treat_parts = [path for path in ordered if path in treated] or ordered[:1]
    return {TREAT: treat_parts, "decisions": night.paths, "holdout": others}


def _with_declared_id(db: Warehouse, sheet: Sheet, ids: UserIds) -> Sheet:
    """Return the sheet with the declared id of users as first column; ``treat`` drops ``user_id``.

    The id keeps its name; a column of the sheet with the same name is renamed.
    """
    columns = [str(row[0]) for row in db.rows(f"describe {sheet.select}", sheet.binds)]
    items = [f"ids.{Identifier.of(ids.column)}"]
    for column in columns:
        if column == "user_id" and sheet.name == TREAT:
            continue
        taken = column.lower() == ids.column.lower()  # SQL names ignore case
        new_name = f" as {Identifier.of(f'list_{column}')}" if taken else ""
        items.append(f"listed.{Identifier.of(column)}{new_name}")
    return replace(
        sheet,
        select=f"select {', '.join(items)} from ({sheet.select}) as listed "
        f"left join {ids.table} as ids using (user_id) order by {ORDERS[sheet.name]}",
    )


def _night(db: Warehouse, key: ListKey) -> dict[str, Any]:
    """Read the night's report; a date as text."""
    (night,) = db.arrow(
        f"select * replace (decision_date::varchar as decision_date, "
        f"previous_date::varchar as previous_date) from {NIGHTS} where {THIS_LIST}",
        asdict(key),
    ).to_pylist()
    return dict(night)


def _manifest(db: Warehouse, store: Store, key: ListKey, night: Mapping[str, Any]) -> dict[str, Any]:
    if not math.isfinite(night["threshold"]):  # a list without users; JSON has no infinity
        night = {**night, "threshold": None}
    decisions = db.arrow(
        f"select decision, count(*) as rows, count(*) filter (treated) as treated from {TREAT_LIST} "
        f"where {THIS_LIST} group by all order by decision",
        asdict(key),
    ).to_pylist()
    gates = db.arrow(
        f'select gate, passed, value, "limit", message from {GATES} where {THIS_LIST} order by gate',
        asdict(key),
    ).to_pylist()
    arms = db.arrow(
        f"select * exclude (decision_date, experiment, campaign) from {NIGHT_ARMS} where {THIS_LIST} "
        "order by arm",
        asdict(key),
    ).to_pylist()
    return {
        "format": FORMAT,
        **night,
        **({"arms": arms} if arms else {}),
        "decisions": {d["decision"]: {"rows": d["rows"], "treated": d["treated"]} for d in decisions},
        "gates": gates,
        **evidence(db, night),
        "chosen_by": chosen_by(db, key),
        "parent": _parent(store, key, night["previous_date"]),
    }


def evidence(db: Warehouse, night: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence that the list's scores pay off: the verdict on the learner that decided.

    Of a list that chooses each user's arm, it is the verdict on that policy.
    """
    if night["arm"] == BEST:
        word, reason = db.one(
            f"select word, reason from {ARM_POLICIES} where model_version = $version "
            "order by abs(budget - $budget), policy limit 1",
            {"version": night["model_version"], "budget": night["budget_asked"]},
        )
        return {"evidence": word, "evidence_reason": reason, "needed_users": None}
    (verdict,) = db.arrow(
        "select gate as evidence, gate_reason as evidence_reason, needed_users from models.registry "
        "where model_version = $model_version and arm = $arm and learner = $learner",
        {name: night[name] for name in ("model_version", "arm", "learner")},
    ).to_pylist()
    return verdict


def chosen_by(db: Warehouse, key: ListKey) -> str:
    """Return what chose the treated users of a list: ``score``, or ``chance`` if all of them explore."""
    rules = f"select holdout + explore >= 1 from {LIST_RULES} where {THIS_LIST}"
    rows = db.rows(rules, asdict(key))  # none of a list that an earlier version made
    return "chance" if rows and rows[0][0] else "score"


def _parent(store: Store, key: ListKey, previous: str | None) -> dict[str, str] | None:
    """Return the manifest that ``changes`` starts from; None if that list was never exported."""
    if previous is None:
        return None
    digest = store.sha256(f"{list_path(ListKey(previous, key.experiment, key.campaign))}/{MANIFEST}")
    return {"decision_date": previous, "sha256": digest} if digest else None
