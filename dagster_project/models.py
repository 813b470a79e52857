"""From fitted learners to a bundle and its rows of the registry."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from dagster_project.cells import read_cells
from dagster_project.champion import OUT_OF_FOLD, REGISTRY, judge_learners, out_of_fold
from dagster_project.contract import contract
from dagster_project.declared.experiment import ExperimentFolder
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, sql_sha256
from uplift_core import bundle
from uplift_core.boosting import LearnerParameters
from uplift_core.bundle import Manifest
from uplift_core.cells import BinEdges
from uplift_core.evaluation.gate import Verdict
from uplift_core.experiment import RAW_SQL
from uplift_core.learners import (
    LEARNER_NAMES,
    ContrastModel,
    OutcomeModels,
    fit_learners,
)


def train_arm(  # noqa: PLR0913 - whose cells, how they are trained
    db: Warehouse,
    folder: ExperimentFolder,
    arm: str,
    edges: BinEdges,
    parameters: LearnerParameters,
    *,
    threads: int,
) -> tuple[ContrastModel, Verdict]:
    """Fit all learners of one arm, both arms' models of the other outcomes, and judge the learners."""
    model, predictions = fit_arm(db, folder, arm, edges, parameters, threads=threads)
    with db.relation(OUT_OF_FOLD, predictions):
        return model, judge_learners(db, folder, arm, Identifier.of(OUT_OF_FOLD))


def fit_arm(  # noqa: PLR0913 - whose cells, how they are trained
    db: Warehouse,
    folder: ExperimentFolder,
    arm: str,
    edges: BinEdges,
    parameters: LearnerParameters,
    *,
    threads: int,
) -> tuple[ContrastModel, pa.Table]:
    """The same without a judgement: the models, and the out-of-fold predictions to judge by."""
    default = folder.experiment.defaults.outcome
    cells = read_cells(db, folder, arm, edges)
    models = OutcomeModels.of(cells, parameters, threads)
    model = fit_learners(models)
    others = {}
    for outcome in folder.experiment.outcomes:
        if outcome.name != default:
            own = read_cells(db, folder, arm, edges, outcome.name)
            others[outcome.name] = OutcomeModels.of(own, parameters, threads).arms()
    return replace(model, others=others), out_of_fold(models, arm, default)


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
    text = folder.features_sql.text
    manifest = Manifest(
        experiment=folder.experiment,
        outcome=folder.experiment.defaults.outcome,
        features=edges.features,
        features_sql=text,
        raw_columns=contract(db, folder),
        edges=edges.to_dict(),
        data_sha256=data_sha256,
        sql_sha256=sql_sha256((folder.folder / RAW_SQL).read_text(encoding="utf-8"), text),
        libraries=bundle.library_versions() | {"duckdb": duckdb.__version__},
    )
    return bundle.save(root, manifest, models)


def registry_rows(
    folder: ExperimentFolder,
    version: str,
    path: Path,
    used: dict[str, LearnerParameters],
    verdicts: dict[str, Verdict],
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
        "budget": experiment.defaults.budget,
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
        }
        | _evidence(verdicts[arm], learner)
        for arm, learner in product(experiment.treatments, LEARNER_NAMES)
    ]
    return pa.Table.from_pylist(rows)


def write_registry(db: Warehouse, folder: ExperimentFolder, version: str, rows: pa.Table) -> None:
    """Add a version to the registry and make it the experiment's current one."""
    db.rows(
        f"update {REGISTRY} set is_current = false where experiment = $experiment",
        {"experiment": folder.name},
    )
    db.replace_rows(REGISTRY, {"model_version": version}, rows)


def _evidence(verdict: Verdict, learner: str) -> dict[str, Any]:
    gains, finding = verdict.candidates[learner], verdict.findings[learner]
    return {
        "champion": learner == verdict.champion,
        "runner_up": learner == verdict.runner_up,
        "gate": finding.word,
        "gate_reason": finding.reason,
        "gain_over_random": gains.over_random.value,
        "gain_over_random_std_error": gains.over_random.std_error,
        "gain_over_response": gains.over_response.value,
        "gain_over_response_std_error": gains.over_response.std_error,
        "n": verdict.n,
        "needed_users": finding.needed,
        "detectable_gain": finding.detectable,
    }


def current_version(db: Warehouse, experiment: str) -> str:
    """The model version that the experiment's scores come from."""
    sql = f"select distinct model_version from {REGISTRY} where experiment = $name and is_current"
    (version,) = db.one(sql, {"name": experiment})
    return str(version)
