"""Check the columns of ``features.<experiment>``, and register them in ``features.registry``."""

from __future__ import annotations

import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, sql_sha256
from uplift_core.errors import ExperimentError
from uplift_core.experiment.declaration import FEATURES_SQL


def register_features(db: Warehouse, experiment: BatchExperiment) -> int:
    """Write the experiment's rows of ``features.registry``; return the number of features.

    Raises:
        ExperimentError: a column is not FLOAT, or user_id is not BIGINT.
    """
    rows = check_features(db, experiment)
    db.replace_rows(Identifier.of("features", "registry"), {"experiment": experiment.name}, rows)
    return rows.num_rows


def check_features(db: Warehouse, experiment: BatchExperiment) -> pa.Table:
    """Refuse features of wrong types; return the experiment's rows of the registry.

    Raises:
        ExperimentError: a column is not FLOAT, or user_id is not BIGINT.
    """
    name, tables = experiment.name, experiment.tables
    columns = dict(row[:2] for row in db.rows(f"describe {tables.features}"))
    if columns.pop("user_id", None) != "BIGINT":
        raise ExperimentError(f"{name}: {FEATURES_SQL} must yield user_id as BIGINT")
    wrong = {column: type_ for column, type_ in columns.items() if type_ != "FLOAT"}
    if wrong or not columns:
        raise ExperimentError(f"{name}: {FEATURES_SQL} must yield FLOAT features, not {wrong}")
    count = len(columns)
    return pa.table(
        {
            "experiment": [name] * count,
            "position": pa.array(range(1, count + 1), pa.int32()),
            "name": list(columns),
            "type": list(columns.values()),
            "description": [experiment.features_sql.descriptions[column] for column in columns],
            "sql_file": [f"{name}/{FEATURES_SQL}"] * count,
            "sql_sha256": [sql_sha256(experiment.features_sql.text)] * count,
        }
    )
