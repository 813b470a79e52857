"""The asset learned: models that learn from lists; they replace the old ones if they are better."""

# No postponed annotations here: Dagster reads an asset's annotations at run time.
import dagster as dg

from dagster_project.assets.common import Results, asset_options
from dagster_project.assets.layer import LayerWrite
from dagster_project.decisions.learning import LEARNED, learn, take_over, write_lesson
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.reporting.metadata import describe_table
from dagster_project.resources import Engine
from dagster_project.training.registry import current_version
from dagster_project.warehouse.provenance import record_layer, versions_of
from uplift_core.artifacts import bundle
from uplift_core.experiment.learning import Learning


def learned_asset(experiment: BatchExperiment, learning: Learning) -> dg.AssetsDefinition:
    """Define the asset of what models learn from lists."""

    @dg.asset(
        **asset_options(experiment, "learned", ["cells"], kinds=("xgboost", "duckdb")),
        description="Models that learned from the experiment and from lists with their outcomes. They "
        "replace the current ones if they beat them on held-out users. One row per time.",
    )
    def learned(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, experiment, "learned")
        with write.transaction() as db:
            old = bundle.load(engine.paths.bundles / current_version(db, experiment.name))
            lesson = learn(db, experiment, learning, old, engine.threads)
            version = (
                take_over(db, engine.paths.bundles, experiment, lesson) if lesson.replaces else None
            )
            row = write_lesson(db, experiment, lesson, version)
            if version:  # the models were made anew, by this run
                made_from = {"model_version": version, **versions_of(db, experiment.name, ["cells"])}
                record_layer(db, experiment.name, "models", made_from, run_id=context.run.run_id)
            metadata = describe_table(db, LEARNED, experiment=experiment.name)
        context.log.info(f"{experiment.name}/learned: {row['learned']:,} rows of lists; {row['reason']}")
        metadata |= {"replaced": dg.MetadataValue.bool(lesson.replaces)}
        metadata |= {"reason": dg.MetadataValue.text(lesson.reason)}
        yield from write.results(metadata)

    return learned
