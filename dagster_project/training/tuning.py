"""Convert tuning trials to rows of ``models.tuning``, and its rows to the learners' parameters."""

from __future__ import annotations

import math

import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.boosting.parameters import BoostingParameters, LearnerParameters
from uplift_core.errors import DataError
from uplift_core.learners.tuning import TUNED_FOLDS, Trial

TUNING = Identifier.of("models", "tuning")


def tuning_rows(experiment: BatchExperiment, arm: str, trials: list[Trial]) -> pa.Table:
    """Return the rows of ``models.tuning`` for one contrast."""
    return pa.Table.from_pylist(
        [
            {
                "experiment": experiment.name,
                "arm": arm,
                "outcome": experiment.declaration.defaults.outcome,
                "kind": trial.kind,
                "parameters": trial.parameters.model_dump_json(),
                "loss": trial.loss,
                "std_error": trial.std_error,
                "dr_loss": None if math.isnan(trial.dr_loss) else trial.dr_loss,
                "chosen": trial.chosen,
            }
            for trial in trials
        ]
    )


def tuned_parameters(db: Warehouse, experiment: BatchExperiment, arm: str) -> LearnerParameters:
    """Return the declared parameters, with those that tuning chose for this arm in their place.

    Raises:
        DataError: the arm was not tuned.
    """
    rows = db.rows(
        f"select kind, parameters from {TUNING} "
        "where experiment = $experiment and arm = $arm and outcome = $outcome and chosen",
        {"experiment": experiment.name, "arm": arm, "outcome": experiment.declaration.defaults.outcome},
    )
    if not rows:
        raise DataError(
            f"{experiment.name}: arm '{arm}' is not tuned; run the job tune_{experiment.name} first"
        )
    chosen = {kind: BoostingParameters.model_validate_json(text) for kind, text in rows}
    return experiment.declaration.learners.model_copy(update=chosen).tuned_on(TUNED_FOLDS)
