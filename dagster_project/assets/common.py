"""Options and constants that all assets of an experiment share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from dagster_project.assets.layer_sql import texts_of
from dagster_project.checks.dagster_checks import check_specs
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.resources import WAREHOUSE_POOL
from dagster_project.warehouse.sql import sql_sha256
from uplift_core.experiment.declaration import FEATURES_SQL, RAW_SQL

# Assets use only its single-run policy, for a range of dates in one run.
warnings.filterwarnings("ignore", message=".*backfill_policy", category=dg.BetaWarning)


Results = Iterator[dg.MaterializeResult | dg.AssetCheckResult]  # what an asset's step yields
OWNERS = ["team:uplift"]
DECLARED_SQL = {
    "raw": (RAW_SQL,),
    "features": (FEATURES_SQL,),
}  # layer -> files of the experiment's folder


def asset_options(
    experiment: BatchExperiment,
    layer: str,
    deps: Sequence[str | dg.AssetKey] = (),
    kinds: Sequence[str] = ("duckdb", "sql"),
    partitions: dg.PartitionsDefinition | None = None,
) -> dict[str, Any]:
    """Return the options of ``@dg.asset`` for a layer; its key is ``<experiment>/<layer>``.

    A dependency that is a string is another layer of the same experiment. The assets of an experiment
    form a group.
    """
    return {
        "key": dg.AssetKey([experiment.name, layer]),
        "deps": [dg.AssetKey([experiment.name, dep]) if isinstance(dep, str) else dep for dep in deps],
        "group_name": experiment.name,
        "kinds": set(kinds),
        "owners": OWNERS,
        "tags": {"experiment": experiment.name},
        "pool": WAREHOUSE_POOL,
        "code_version": _code_version(experiment, layer),
        "check_specs": check_specs(experiment, layer, partitions),
    } | ({"partitions_def": partitions} if partitions else {})


def nights_from(first: str) -> dg.DailyPartitionsDefinition:
    """Define one partition per decision date, from ``first`` (YYYY-MM-DD) to today (UTC)."""
    return dg.DailyPartitionsDefinition(start_date=first, end_offset=1)


# Options of assets that are written every night.
NIGHTLY: dict[str, Any] = {
    "backfill_policy": dg.BackfillPolicy.single_run(),
    # The schedule runs once a night: if a list is older than a day and a half, a night was missed.
    "freshness_policy": dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=36), warn_window=timedelta(hours=26)
    ),
}


def _code_version(experiment: BatchExperiment, layer: str) -> str:
    """Digest the SQL that makes a layer and the declaration: if either changes, so does the version."""
    declared = [experiment.path / name for name in DECLARED_SQL.get(layer, ())]
    texts = [file.read_text(encoding="utf-8") for file in declared if file.is_file()]
    return sql_sha256(experiment.declaration.model_dump_json(), *texts, *texts_of(layer))[:12]
