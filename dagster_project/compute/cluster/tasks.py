"""The tasks of workers: each call opens a separate database in memory over a few Parquet files.

The SQL is that of a run on one machine: a worker's database has views in the place of tables.
Every task may run again: it writes the same files, each whole.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from distributed import get_worker

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.signs import with_signs
from dagster_project.scores.predictions import predictions_of_arms
from dagster_project.training.cells import make_cells, read_feature_cells
from dagster_project.training.scoring import score_users
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.id_keys import use_id_key
from dagster_project.warehouse.opening import open_in_memory
from dagster_project.warehouse.partitions import Part, write_part
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.artifacts import bundle
from uplift_core.cells import BinEdges
from uplift_core.errors import DataError
from uplift_core.experiment.user_ids import IdKey

Reads = Mapping[Identifier, str | Sequence[str]]  # name of a view -> Parquet files, or their pattern
MERGED = Identifier.of("parts")
REASON = 400  # largest number of characters of DuckDB's message


@dataclass(frozen=True)
class Limits:
    """Resource limits of one task: DuckDB's memory, and threads."""

    memory_limit: str
    threads: int = 1


@contextmanager
def opened(limits: Limits, reads: Reads) -> Iterator[Warehouse]:
    """Open a database in memory with views of ``reads``."""
    with (
        # Use the worker's folder: Dask removes it even if the worker was killed.
        tempfile.TemporaryDirectory(dir=get_worker().local_directory) as scratch,
        open_in_memory(Path(scratch), memory_limit=limits.memory_limit, threads=limits.threads) as db,
    ):
        for view, files in reads.items():
            db.create_view(view, files)
        yield db


@dataclass(frozen=True)
class Query:
    """A SELECT over views, the file for its rows, and its author if that is a user.

    ``signed``: unsigned types become signed, as in raw tables on one machine.
    ``id_key``: the home's key, if the query hashes text ids with it.
    """

    sql: str
    target: Path
    reads: Reads = field(default_factory=dict)
    binds: Mapping[str, object] = field(default_factory=dict)
    author: str = ""
    signed: bool = False
    id_key: IdKey | None = None


def run_query(limits: Limits, query: Query) -> Part:
    """Write the rows of a query.

    Raises:
        DataError: DuckDB refuses it.
    """
    try:
        with opened(limits, query.reads) as db:
            if query.id_key:
                use_id_key(db, query.id_key)
            sql = with_signs(db, query.sql, query.binds) if query.signed else query.sql
            return write_part(db, sql, query.binds, query.target)
    except duckdb.Error as error:
        reason = " ".join(str(error).partition("LINE 1:")[0].split())[:REASON]
        raise DataError(f"{query.author or query.target.parent.parent.name} fails: {reason}") from error


def cells_of_part(
    limits: Limits,
    experiment: BatchExperiment,
    edges: BinEdges,
    reads: Reads,
    targets: Mapping[str, Path],
) -> dict[str, Part]:
    """Write the cells of one part: ``user_cells``, ``feature_cells`` and ``cells``.

    Feature cells are numbered within the part.
    """
    tables = experiment.tables
    with opened(limits, reads) as db:
        make_cells(db, experiment, edges, of_part=True)
        sources = {
            "user_cells": tables.user_cells,
            "feature_cells": tables.feature_cells,
            "cells": tables.cells,
        }
        return {name: write_part(db, f"from {t}", {}, targets[name]) for name, t in sources.items()}


def number_cells(
    limits: Limits,
    experiment: BatchExperiment,
    features: tuple[str, ...],
    merged: Path,
    targets: Mapping[str, Path],
) -> dict[str, Part]:
    """Write ``feature_cells`` and ``cells`` from merged cells, as a run on one machine makes them."""
    listed = Identifier.listed(features)
    sql = {
        "feature_cells": render("training/feature_cells.sql", binned=MERGED, feature_list=listed),
        "cells": render(
            "training/numbered_cells.sql",
            parts=MERGED,
            feature_cells=experiment.tables.feature_cells,
            feature_list=listed,
            outcomes=experiment.outcomes,
        ),
    }
    with opened(limits, {MERGED: str(merged)}) as db:
        first = write_part(db, sql["feature_cells"], {}, targets["feature_cells"])
        db.create_view(experiment.tables.feature_cells, str(first.path))
        return {
            "feature_cells": first,
            "cells": write_part(db, sql["cells"], {}, targets["cells"]),
        }


@dataclass(frozen=True)
class CellRange:
    """The merged feature cells numbered from ``first`` to ``end - 1``, and the files of all of them."""

    files: str
    first: int
    end: int


def predict_cells(
    limits: Limits, experiment: BatchExperiment, model: Path, cells: CellRange, target: Path
) -> Part:
    """Predict a range of the merged cells."""
    first = cells.first
    loaded = bundle.load(model)
    whole = Identifier.of("whole")
    with opened(limits, {whole: cells.files}) as db:
        chosen = f"from {whole} where cell between {first} and {cells.end - 1}"
        shifted = f"select * replace (cell - {first} as cell) {chosen}"
        db.rows(f"create view {experiment.tables.feature_cells} as {shifted}")
        x = read_feature_cells(db, experiment, loaded.manifest.features)
        predictions = predictions_of_arms(loaded.models, x, loaded.manifest.outcome)
        with db.relation("predicted", predictions):
            ordered = f"select * replace (cell + {first} as cell) from predicted order by arm, cell"
            return write_part(db, ordered, {}, target)


def score_part(
    limits: Limits, experiment: BatchExperiment, model: Path, reads: Reads, target: Path
) -> Part:
    """Score one part's users by the part's cells."""
    with opened(limits, reads) as db:
        score_users(db, experiment, bundle.load(model))
        return write_part(db, f"from {experiment.tables.scores}", {}, target)
