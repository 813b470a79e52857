"""A night's list as files that a campaign tool takes.

``treat`` holds whom to treat and nobody else, ``decisions`` what was decided about every user,
``changes`` who entered and left, ``holdout`` who must not be treated by anybody. The users' own id
stands first in each.

``<experiment>/<date>/<campaign>/`` holds ``manifest.json``, which names files in a folder of their own
that never change, and ``_SUCCESS`` with the manifest's sha256. Files come first, the manifest next,
``_SUCCESS`` last, each whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dagster_project.decisions.ledger import parts_of
from dagster_project.decisions.records import GATES, NIGHTS, THIS_LIST, TREAT_LIST, ListKey
from dagster_project.delivery.export_files import FORMATS, Sheet, WriteSheet
from dagster_project.delivery.stores import Store, prepared
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render

TREAT = "treat"
# What is exported, and the order of its rows.
ORDERS = {
    TREAT: "listed.rank",
    "decisions": "listed.rank nulls last, listed.user_id",
    "changes": "listed.change, listed.user_id",
    "holdout": "listed.user_id",
}
# Machines find users and lists by them; other texts may come from anywhere.
KEYS = frozenset({"user_id", "experiment", "campaign", "arm"})
FORMAT = 3
MANIFEST, SUCCESS = "manifest.json", "_SUCCESS"


def export_treat_list(  # noqa: PLR0913 - which list, where to, how
    db: Warehouse,
    store: Store,
    key: ListKey,
    *,
    formats: Sequence[str] = tuple(FORMATS),
    own_id: str = "",
    raw: Identifier | None = None,
    write_sheet: WriteSheet,
) -> str:
    """Write one list; returns where its manifest is.

    ``write_sheet`` writes one sheet in all formats, on this machine or on a cluster. ``own_id`` is the
    column of ``raw`` (the experiment's raw table unless given) with the users' id in the file, to stand
    first in every file. Of a list in parts, a cluster's workers write one file a part,
    ``treat-00000.csv`` and so on, which in the manifest's order are the whole list.
    """
    place = _place(key)
    with prepared(store) as folder:
        ids = raw or Identifier.of("raw", key.experiment)
        files = [
            file
            for sheet in _sheets(db, key, own_id, ids)
            for file in write_sheet(db, sheet, folder, formats)
        ]
        version = hashlib.sha256("".join(f["sha256"] for f in files).encode()).hexdigest()[:12]
        manifest = _manifest(db, store, key) | {
            "files": [file | {"path": f"{version}/{file['path']}"} for file in files]
        }
        if not all(store.sha256(f"{place}/{f['path']}") == f["sha256"] for f in manifest["files"]):
            store.put_folder(folder, f"{place}/{version}")
    before = store.read(f"{place}/{MANIFEST}")
    content = json.dumps(manifest, indent=2, allow_nan=False).encode()
    store.replace(f"{place}/{MANIFEST}", content)
    store.replace(f"{place}/{SUCCESS}", hashlib.sha256(content).hexdigest().encode())
    # Who has just read the manifest before still finds its files.
    kept = {version} | {
        f["path"].partition("/")[0] for f in json.loads(before or b'{"files": []}')["files"]
    }
    for old in store.folders(place):
        if old not in kept:
            store.remove_folder(f"{place}/{old}")
    return store.url(f"{place}/{MANIFEST}")


def files_to_treat(store: Store, key: ListKey, ending: str = "csv") -> list[str]:
    """Where the files with whom to treat are, by the list's manifest; none if it was not exported."""
    content = store.read(f"{_place(key)}/{MANIFEST}")
    names = [Path(entry["path"]) for entry in json.loads(content)["files"]] if content else []
    return [
        store.url(f"{_place(key)}/{name.as_posix()}")
        for name in names
        if name.suffix == f".{ending}" and name.stem.partition("-")[0] == TREAT
    ]


def _place(key: ListKey) -> str:
    return f"{key.experiment}/{key.decision_date}/{key.campaign}"


def _sheets(db: Warehouse, key: ListKey, own_id: str, raw: Identifier) -> list[Sheet]:
    """What is exported. Who entered and left is told among all users at once, the rest part by part."""
    (previous,) = db.one(f"select previous_date::varchar from {NIGHTS} where {THIS_LIST}", asdict(key))
    changes = render("decisions/changes.sql", treat_list=TREAT_LIST)
    selects = {
        TREAT: render("decisions/treated_users.sql", treat_list=TREAT_LIST),
        "decisions": render("decisions/exported_decisions.sql", treat_list=TREAT_LIST),
        "changes": f"from ({changes}) as listed order by {ORDERS['changes']}",
        "holdout": render("decisions/holdout_users.sql", treat_list=TREAT_LIST),
    }
    binds = {"changes": asdict(key) | {"previous_date": previous}}
    reads = {raw: db.files_of(raw)} if own_id else {}
    parts = _parts(db, key) if all(reads.values()) else {}
    sheets = [
        Sheet(
            experiment=key.experiment,
            name=name,
            select=select,
            binds=binds.get(name, asdict(key)),
            keys=KEYS | {own_id},
            parts=parts.get(name, ()),
            reads=reads,
        )
        for name, select in selects.items()
    ]
    return [_with_own_id(db, sheet, own_id, raw) for sheet in sheets] if own_id else sheets


def _parts(db: Warehouse, key: ListKey) -> dict[str, Sequence[Path]]:
    """Which parts of the ledger each sheet is made of; none of a list that was made here."""
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
    # A list for nobody is a file, too: without rows.
    treats = [path for path in ordered if path in treated] or ordered[:1]
    return {TREAT: treats, "decisions": night.paths, "holdout": others}


def _with_own_id(db: Warehouse, sheet: Sheet, own_id: str, raw: Identifier) -> Sheet:
    """The sheet with the users' own id before all else; in ``treat`` instead of ``user_id``.

    An own id keeps its name; a column of the sheet that is called alike gets another.
    """
    columns = [str(row[0]) for row in db.rows(f"describe {sheet.select}", sheet.binds)]
    items = [f"ids.{Identifier.of(own_id)}"]
    for column in columns:
        if column == "user_id" and sheet.name == TREAT:
            continue
        taken = column.lower() == own_id.lower()  # SQL does not tell cases apart
        new_name = f" as {Identifier.of(f'list_{column}')}" if taken else ""
        items.append(f"listed.{Identifier.of(column)}{new_name}")
    return replace(
        sheet,
        select=f"select {', '.join(items)} from ({sheet.select}) as listed "
        f"left join {raw} as ids using (user_id) order by {ORDERS[sheet.name]}",
    )


def _manifest(db: Warehouse, store: Store, key: ListKey) -> dict[str, Any]:
    (night,) = db.arrow(
        f"select * replace (decision_date::varchar as decision_date, "
        f"previous_date::varchar as previous_date) from {NIGHTS} where {THIS_LIST}",
        asdict(key),
    ).to_pylist()
    if not math.isfinite(night["threshold"]):  # of a list without users; JSON knows no infinity
        night["threshold"] = None
    decisions = db.arrow(
        f"select decision, count(*) as rows, count(*) filter (treated) as treated from {TREAT_LIST} "
        f"where {THIS_LIST} group by all order by decision",
        asdict(key),
    ).to_pylist()
    gates = db.arrow(
        f'select gate, passed, value, "limit", message from {GATES} where {THIS_LIST} order by gate',
        asdict(key),
    ).to_pylist()
    return {
        "format": FORMAT,
        **night,
        "decisions": {d["decision"]: {"rows": d["rows"], "treated": d["treated"]} for d in decisions},
        "gates": gates,
        **evidence(db, night),
        "parent": _parent(store, key, night["previous_date"]),
    }


def evidence(db: Warehouse, night: Mapping[str, Any]) -> dict[str, Any]:
    """Whether acting on the list's scores is shown to pay: the word on the learner that decided."""
    (word,) = db.arrow(
        "select gate as evidence, gate_reason as evidence_reason, needed_users from models.registry "
        "where model_version = $model_version and arm = $arm and learner = $learner",
        {name: night[name] for name in ("model_version", "arm", "learner")},
    ).to_pylist()
    return word


def _parent(store: Store, key: ListKey, previous: str | None) -> dict[str, str] | None:
    """The manifest that ``changes`` starts from; None if that list was never exported."""
    if previous is None:
        return None
    digest = store.sha256(f"{_place(ListKey(previous, key.experiment, key.campaign))}/{MANIFEST}")
    return {"decision_date": previous, "sha256": digest} if digest else None
