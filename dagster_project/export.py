"""The treat list as files that a campaign tool takes.

``<experiment>/<date>/<campaign>/`` holds ``manifest.json``, which names files in a folder of their own
that never change, and ``_SUCCESS`` with the manifest's sha256. Files come first, the manifest next,
``_SUCCESS`` last, each whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dagster_project.compute import Compute
from dagster_project.compute.here import HERE
from dagster_project.export_files import FORMATS, Sheet
from dagster_project.ledger import parts_of
from dagster_project.nights import GATES, NIGHTS, THIS_LIST, TREAT_LIST, ListKey
from dagster_project.sqlfiles import Identifier, render
from dagster_project.stores import Store, prepared
from dagster_project.warehouse import Warehouse
from uplift_core.errors import DataError

ORDERS = {"treat_list": "rank nulls last, user_id", "changes": "change, user_id", "holdout": "user_id"}
MANIFEST, SUCCESS = "manifest.json", "_SUCCESS"


def campaigns(db: Warehouse, experiment: str, date: str) -> list[ListKey]:
    """The lists of one date.

    Raises:
        DataError: there is none.
    """
    rows = db.rows(
        f"select campaign from {NIGHTS} where experiment = $experiment "
        "and decision_date = $date::date order by all",
        {"experiment": experiment, "date": date},
    )
    if not rows:
        raise DataError(f"{experiment}: there is no treat list of {date}; materialize treat_list first")
    return [ListKey(date, experiment, str(campaign)) for (campaign,) in rows]


def export_treat_list(  # noqa: PLR0913 - which list, where to, how
    db: Warehouse,
    store: Store,
    key: ListKey,
    *,
    formats: Sequence[str] = tuple(FORMATS),
    own_id: str = "",
    raw: Identifier | None = None,
    compute: Compute = HERE,
) -> str:
    """Write one list; returns where its manifest is.

    ``own_id`` is the column of ``raw`` (the experiment's raw table unless given) with the users' id in
    the file, to stand in every file beside user_id. Of a list in parts, a cluster's workers write one
    file a part, ``treat_list-00000.csv`` and so on, which in the manifest's order are the whole list.
    """
    place = _place(key)
    with prepared(store) as folder:
        ids = raw or Identifier.of("raw", key.experiment)
        files = [
            file
            for sheet in _sheets(db, key, own_id, ids)
            for file in compute.export(db, sheet, folder, formats)
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


def _place(key: ListKey) -> str:
    return f"{key.experiment}/{key.decision_date}/{key.campaign}"


def _sheets(db: Warehouse, key: ListKey, own_id: str, raw: Identifier) -> list[Sheet]:
    """What is exported. Who entered and left is found among all users at once, the rest part by part."""
    (previous,) = db.one(f"select previous_date::varchar from {NIGHTS} where {THIS_LIST}", asdict(key))
    changes = render("decisions/changes.sql", treat_list=TREAT_LIST)
    selects = {
        "treat_list": (render("decisions/exported_list.sql", treat_list=TREAT_LIST), asdict(key)),
        "changes": (
            f"from ({changes}) order by change, user_id",
            asdict(key) | {"previous_date": previous},
        ),
        "holdout": (render("decisions/holdout_users.sql", treat_list=TREAT_LIST), asdict(key)),
    }
    reads = {raw: db.files_of(raw)} if own_id else {}
    made = parts_of(db, key) if all(reads.values()) else None
    parts = {"treat_list": made.paths, "holdout": made.paths[made.ordered_files :]} if made else {}
    return [
        Sheet(
            key.experiment,
            name,
            _with_own_id(select, name, own_id, raw),
            binds,
            parts.get(name, ()),
            reads,
        )
        for name, (select, binds) in selects.items()
    ]


def _with_own_id(select: str, name: str, own_id: str, raw: Identifier) -> str:
    if not own_id:
        return select
    column = Identifier.of(own_id)
    return (
        f"select listed.*, ids.{column} from ({select}) as listed "
        f"left join {raw} as ids using (user_id) order by {ORDERS[name]}"
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
        "format": 3,
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
