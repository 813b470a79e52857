"""Between the warehouse and the learners: cells in, bundle and registry rows out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from dagster_project.folders import ExperimentFolder
from dagster_project.sqlfiles import Identifier, render, sql_sha256
from dagster_project.warehouse import Warehouse
from uplift_core import bundle
from uplift_core.boosting import Doubles, LearnerParameters
from uplift_core.bundle import Manifest, RawColumn
from uplift_core.cells import BinEdges, Cells
from uplift_core.experiment import RAW_SQL
from uplift_core.learners import LEARNER_NAMES, ContrastModel

EDGES = Identifier.of("training", "edges")


def read_cells(db: Warehouse, folder: ExperimentFolder, arm: str, edges: BinEdges) -> Cells:
    """The train cells of one contrast for the default outcome, in the table's canonical order."""
    experiment, tables = folder.experiment, folder.tables
    contrast = experiment.contrast(arm)
    outcome = experiment.outcome(experiment.defaults.outcome)
    names = next(o for o in folder.outcomes if o.name == Identifier.of(outcome.name))
    rows = db.arrow(
        f"select cell, arm = $arm as w, fold, n, {names.sum} as y_sum, {names.events} as events "
        f"from {tables.cells} where split = 'train' and arm in ($arm, $control) "
        "order by cell, arm = $arm, fold",
        {"arm": contrast.arm, "control": contrast.control},
    )

    def doubles(name: str) -> Doubles:
        return rows.column(name).to_numpy().astype(np.float64)

    return Cells(
        x=read_feature_cells(db, folder, edges.features),
        cell=rows.column("cell").to_numpy().astype(np.int64),
        w=rows.column("w").to_numpy().astype(np.int8),
        fold=rows.column("fold").to_numpy().astype(np.int8),
        n=doubles("n"),
        y_sum=doubles("y_sum"),
        events=doubles("events"),
        propensity=contrast.propensity,
        binary=outcome.kind == "binary",
        max_bin=edges.max_bin,
    )


def read_feature_cells(db: Warehouse, folder: ExperimentFolder, features: tuple[str, ...]) -> np.ndarray:
    """Features of every cell, (n_feature_cells, n_features) float32; the row is the cell's number."""
    columns = ", ".join(str(Identifier.of(name)) for name in features)
    rows = db.arrow(f"select {columns} from {folder.tables.feature_cells} order by cell")
    return np.column_stack([rows.column(name).to_numpy() for name in features]).astype(np.float32)


def write_bundle(
    db: Warehouse,
    root: Path,
    folder: ExperimentFolder,
    edges: BinEdges,
    models: dict[str, ContrastModel],
) -> tuple[str, Path]:
    """Save the bundle: all that scoring a user from raw attributes needs."""
    registry = Identifier.of("raw", "registry")
    (data_sha256,) = db.one(
        f"select sha256 from {registry} where experiment = $name", {"name": folder.name}
    )
    types = dict(r[:2] for r in db.rows(f"describe {folder.tables.raw}"))
    text = folder.features_sql.text
    manifest = Manifest(
        experiment=folder.experiment,
        outcome=folder.experiment.defaults.outcome,
        features=edges.features,
        features_sql=text,
        raw_columns=tuple(
            RawColumn(name=name, type=types[name]) for name in folder.features_sql.raw_columns
        ),
        edges=edges.to_dict(),
        data_sha256=data_sha256,
        sql_sha256=sql_sha256((folder.folder / RAW_SQL).read_text(encoding="utf-8"), text),
        libraries=bundle.library_versions() | {"duckdb": duckdb.__version__},
    )
    return bundle.save(root, manifest, models)


def registry_rows(
    folder: ExperimentFolder, version: str, path: Path, used: dict[str, LearnerParameters]
) -> pa.Table:
    """One row per arm and learner for ``models.registry``."""
    experiment = folder.experiment
    manifest = bundle.load(path).manifest
    shared = {
        "model_version": version,
        "experiment": experiment.name,
        "outcome": manifest.outcome,
        "data_sha256": manifest.data_sha256,
        "sql_sha256": manifest.sql_sha256,
        "bundle_sha256": bundle.manifest_sha256(path),
        "libraries": json.dumps(manifest.libraries, sort_keys=True),
        "is_current": True,
        "trained_at": datetime.now(UTC).replace(tzinfo=None),
    }
    rows = [
        shared
        | {
            "arm": arm,
            "learner": learner,
            "parameters": used[arm].model_dump_json(),
            "seed": used[arm].seed,
            "champion": learner == experiment.defaults.learner,
        }
        for arm, learner in product(experiment.treatments, LEARNER_NAMES)
    ]
    return pa.Table.from_pylist(rows)


def current_version(db: Warehouse, experiment: str) -> str:
    """The model version that the experiment's scores come from."""
    registry = Identifier.of("models", "registry")
    sql = f"select distinct model_version from {registry} where experiment = $name and is_current"
    (version,) = db.one(sql, {"name": experiment})
    return str(version)


def find_edges(db: Warehouse, folder: ExperimentFolder) -> BinEdges:
    """Lower bin edges of every feature, from the train split; kept in ``training.edges``."""
    names = features_of(db, folder)
    sql = render(
        "training/edges.sql",
        features=folder.tables.features,
        assignment=folder.tables.assignment,
        feature_names=[Identifier.of(name) for name in names],
        feature_list=Identifier.listed(names),
    )
    rows = db.rows(
        f"select feature, list(edge order by edge) from ({sql}) group by feature",
        {"max_bins": folder.experiment.learners.max_bins},
    )
    # A feature that is missing for everybody still has one bin, which nobody falls into.
    edges = {name: [0.0] for name in names} | dict(rows)
    found = BinEdges.from_dict(edges)
    db.replace_rows(EDGES, {"experiment": folder.name}, _edge_rows(folder, found))
    return found


def read_edges(db: Warehouse, folder: ExperimentFolder) -> BinEdges:
    """The edges that the experiment's cells were binned by."""
    rows = db.rows(
        f"select feature, list(edge order by edge) from {EDGES} where experiment = $experiment "
        "group by position, feature order by position",
        {"experiment": folder.name},
    )
    return BinEdges.from_dict(dict(rows))


def _edge_rows(folder: ExperimentFolder, edges: BinEdges) -> pa.Table:
    counts = [len(edge) for edge in edges.edges]
    return pa.table(
        {
            "experiment": pa.repeat(folder.name, sum(counts)),
            "position": pa.array(np.repeat(np.arange(1, len(counts) + 1, dtype=np.int32), counts)),
            "feature": pa.array(np.repeat(np.asarray(edges.features, dtype=object), counts)),
            "edge": pa.array(np.concatenate(edges.edges)),
        }
    )


def features_of(db: Warehouse, folder: ExperimentFolder) -> tuple[str, ...]:
    """Names of the experiment's features, in the models' order."""
    registry = Identifier.of("features", "registry")
    sql = f"select name from {registry} where experiment = $experiment order by position"
    rows = db.rows(sql, {"experiment": folder.name})
    return tuple(row[0] for row in rows)
