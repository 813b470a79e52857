"""What all assets of an experiment share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from dagster_project.folders import ExperimentFolder

WAREHOUSE_POOL = "warehouse"
OWNERS = ["team:uplift"]


def asset_options(
    folder: ExperimentFolder,
    layer: str,
    deps: Sequence[str | dg.AssetKey] = (),
    kinds: Sequence[str] = ("duckdb", "sql"),
) -> dict[str, Any]:
    """Options of ``@dg.asset`` for one layer of an experiment; its key is ``<experiment>/<layer>``.

    A dependency that is a string is another layer of the same experiment.
    """
    return {
        "key": dg.AssetKey([folder.name, layer]),
        "deps": [dg.AssetKey([folder.name, dep]) if isinstance(dep, str) else dep for dep in deps],
        "group_name": layer,
        "kinds": set(kinds),
        "owners": OWNERS,
        "tags": {"experiment": folder.name},
        "pool": WAREHOUSE_POOL,
    }
