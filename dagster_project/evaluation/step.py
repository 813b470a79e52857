"""Compute and write all evidence on held-out users of one experiment: what the asset evaluation does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.average_effects import average_effect_rows
from dagster_project.evaluation.complier_effects import complier_effect_rows
from dagster_project.evaluation.contradiction import write_contradictions
from dagster_project.evaluation.figures import Report, evaluate, few_clusters
from dagster_project.evaluation.placebo import placebo_rows
from dagster_project.evaluation.rules import rule_rows
from dagster_project.evaluation.segments import segment_rows
from dagster_project.evaluation.stored_plots import Plot, write_plots
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.evaluation.tables import Rows


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation wrote.

    Attributes:
        tables: name of each table of the schema ``evaluation`` -> its rows.
        warnings: what people should hear: few clusters, learners that are contradicted.
        plots: the plots, which are stored, too.
    """

    tables: Mapping[str, Rows]
    warnings: Sequence[str]
    plots: Sequence[Plot]


def write_evaluation(
    db: Warehouse,
    experiment: BatchExperiment,
    *,
    placebo_runs: int = 0,
    threads: int = 0,
    report: Report = lambda _: None,
) -> Evaluation:
    """Compute all figures and write them in place of the earlier ones.

    Args:
        db: a warehouse in a transaction.
        experiment: the experiment; its users are scored.
        placebo_runs: how often the arms are permuted for ``evaluation.placebo``; 0: never.
        threads: of XGBoost, for the placebo; 0 takes all cores.
        report: is told of each arm and outcome when its turn comes.
    """
    tables = evaluate(db, experiment, report)
    tables["segments"] = segment_rows(db, experiment)
    tables["average_effects"] = average_effect_rows(db, experiment)
    tables["complier_effects"] = complier_effect_rows(db, experiment)
    tables["placebo"] = placebo_rows(db, experiment, placebo_runs, threads)
    tables |= rule_rows(db, experiment)
    for name, rows in tables.items():
        table = Identifier.of("evaluation", name)
        db.replace_rows(table, {"experiment": experiment.name}, pa.Table.from_pylist(rows))
    few = few_clusters(experiment, tables)
    warnings = [few] if few else []
    warnings += [
        f"{experiment.name}/evaluation: contradicted: {message}"
        for message in write_contradictions(db, experiment)
    ]
    return Evaluation(tables, warnings, write_plots(db, experiment))
