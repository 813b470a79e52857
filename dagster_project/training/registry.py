"""Record in ``models.registry`` the model versions and which learner decides."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.artifacts import bundle
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.evaluation.gate import Verdict
from uplift_core.learners import LEARNER_NAMES

REGISTRY = Identifier.of("models", "registry")


def deciding_learner(db: Warehouse, experiment: BatchExperiment, arm: str) -> str:
    """Return the learner that decides for an arm: the declared one, else the current champion."""
    declared = experiment.declaration.defaults.learner
    if declared:
        return declared
    (champion,) = db.one(
        f"select learner from {REGISTRY} "
        "where experiment = $experiment and arm = $arm and is_current and champion",
        {"experiment": experiment.name, "arm": arm},
    )
    return str(champion)


def registry_rows(
    experiment: BatchExperiment,
    version: str,
    path: Path,
    used: dict[str, LearnerParameters],
    verdicts: dict[str, Verdict],
) -> pa.Table:
    """Return the rows of ``models.registry`` of one version: one per arm and learner."""
    declaration = experiment.declaration
    manifest = bundle.load(path).manifest
    shared = {
        "model_version": version,
        "experiment": declaration.name,
        "outcome": manifest.outcome,
        "data_sha256": manifest.data_sha256,
        "sql_sha256": manifest.sql_sha256,
        "bundle_sha256": bundle.manifest_sha256(path),
        "libraries": json.dumps(manifest.libraries, sort_keys=True),
        "budget": declaration.defaults.budget,
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
        for arm, learner in product(declaration.treatments, LEARNER_NAMES)
    ]
    return pa.Table.from_pylist(rows)


def write_registry(db: Warehouse, experiment: BatchExperiment, version: str, rows: pa.Table) -> None:
    """Add a version to the registry and make it the experiment's current one."""
    db.rows(
        f"update {REGISTRY} set is_current = false where experiment = $experiment",
        {"experiment": experiment.name},
    )
    db.replace_rows(REGISTRY, {"model_version": version}, rows)


def _evidence(verdict: Verdict, learner: str) -> dict[str, Any]:
    comparison, finding = verdict.comparison, verdict.findings[learner]
    gains = comparison.candidates[learner]
    return {
        "champion": learner == verdict.champion,
        "runner_up": learner == verdict.runner_up,
        "gate": finding.word,
        "gate_reason": finding.reason,
        "gain_over_random": gains.over_random.value,
        "gain_over_random_std_error": gains.over_random.std_error,
        "gain_over_response": gains.over_response.value,
        "gain_over_response_std_error": gains.over_response.std_error,
        "gain_over_nobody": gains.over_nobody.value,
        "gain_over_nobody_std_error": gains.over_nobody.std_error,
        "mean_gain": gains.mean_gain,
        "z_over_random": gains.z_random,
        "z_over_response": gains.z_response,
        "critical_over_random": gains.critical_random,
        "critical_over_response": gains.critical_response,
        "procedure_gain": comparison.procedure.value,
        "procedure_gain_std_error": comparison.procedure.std_error,
        "events": verdict.events,
        "n": verdict.n,
        "needed_users": finding.needed,
        "detectable_gain": finding.detectable,
    }


def current_version(db: Warehouse, experiment: str) -> str:
    """Read the model version that computed the experiment's scores."""
    sql = f"select distinct model_version from {REGISTRY} where experiment = $name and is_current"
    (version,) = db.one(sql, {"name": experiment})
    return str(version)
