"""Deliver a list as one file of a folder or an object store, and ``_SUCCESS`` after it."""

from __future__ import annotations

from dagster_project.delivery.export import KEYS, SUCCESS
from dagster_project.delivery.export_files import Sheet, write_file
from dagster_project.delivery.stores import Store, prepared
from dagster_project.delivery.targets.delivered import DeliveredRows
from dagster_project.warehouse.connection import Warehouse
from uplift_core.experiment.deliveries import FolderDelivery


def deliver_to_folder(
    db: Warehouse, rows: DeliveredRows, delivery: FolderDelivery, store: Store, digest: str
) -> int | None:
    """Write or replace the list's file; return the number of its rows, or None if it was there already.

    The file is ``<experiment>/<date>/<campaign>/<form>.<format>``. It and ``_SUCCESS`` are replaced
    whole; ``_SUCCESS`` holds the digest of what was delivered, and is written last.
    """
    key = rows.key
    folder = f"{key.experiment}/{key.decision_date}/{key.campaign}"
    name = f"{delivery.form}.{delivery.format}"
    done = store.read(f"{folder}/{SUCCESS}")
    if done == digest.encode() and store.sha256(f"{folder}/{name}") is not None:
        return None
    sheet = Sheet(key.experiment, delivery.form, rows.select, rows.binds, KEYS | {rows.ids})
    with prepared(store) as local:
        entry = write_file(db, sheet, local / name)
        store.replace_by_file(f"{folder}/{name}", local / name)
    store.replace(f"{folder}/{SUCCESS}", digest.encode())
    return int(entry["rows"])
