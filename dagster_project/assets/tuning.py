"""tuning: parameters by cross-validated loss. It can be left out; the declared ones are used then."""

# No postponed annotations here: Dagster reads those of an asset as they stand.
from functools import partial

import dagster as dg
import pyarrow as pa
from rich.progress import Progress, TaskID

from dagster_project.assets.common import Results, asset_options
from dagster_project.assets.layer import LayerWrite
from dagster_project.declared.experiment import ExperimentFolder
from dagster_project.reporting.metadata import describe_table
from dagster_project.resources import Engine
from dagster_project.training.cells import read_cells, read_edges
from dagster_project.training.tuning import TUNING, tuning_rows
from uplift_core.tuning import tune


def tuning_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """Search the grid for every contrast."""
    experiment = folder.experiment

    @dg.asset(
        **asset_options(folder, "tuning", ["cells"], kinds=("xgboost", "duckdb")),
        description="Cross-validated losses of a grid of parameters, and which were chosen. Models use "
        "them if asked to (parameters: tuned). One row per arm, kind of model and candidate.",
    )
    def tuning(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, folder, "tuning")
        with write.transaction() as db, Progress() as progress:
            edges = read_edges(db, folder)
            parts = []
            for arm in experiment.treatments:
                task = progress.add_task(f"{folder.name}/{arm}: tuning", total=None)
                cells = read_cells(db, folder, arm, edges)
                _, trials = tune(
                    cells,
                    experiment.learners,
                    threads=engine.threads,
                    tell=partial(_show, progress, task),
                )
                parts.append(tuning_rows(folder, arm, trials))
            rows = pa.concat_tables(parts)
            db.replace_rows(TUNING, {"experiment": folder.name}, rows)
            context.log.info(f"{folder.name}/tuning: {rows.num_rows} candidates")
            metadata = describe_table(db, TUNING, experiment=folder.name)
        yield from write.results(metadata)

    return tuning


def _show(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)
