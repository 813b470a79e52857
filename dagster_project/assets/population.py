"""population and population_scores: users to decide about who were not in the experiment."""

# No postponed annotations here: Dagster reads those of an asset as they stand.
import dagster as dg

from dagster_project.assets.common import Results, asset_options
from dagster_project.assets.layer import LayerWrite
from dagster_project.declared.experiment import ExperimentFolder
from dagster_project.inputs.population import compute_features, load_population
from dagster_project.inputs.sources import own_file
from dagster_project.reporting.metadata import describe_table
from dagster_project.resources import Engine
from dagster_project.training.registry import current_version
from dagster_project.training.scoring import score_population
from uplift_core import bundle
from uplift_core.errors import DataError


def population_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """The users to decide about, and their features."""
    declared, tables = folder.experiment.population, folder.tables.population
    path = declared.path if declared else folder.folder

    @dg.asset(
        **asset_options(folder, "population", ["raw", "features", "models"]),
        description="Users to decide about instead of the experiment's, with features by the same SQL. "
        "One row per user.",
    )
    def population(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, folder, "population")
        with write.transaction() as db:
            file = own_file(folder.name, "population.path", folder.folder, path)
            load_population(db, folder, file)
            rows = compute_features(db, folder)
            context.log.info(f"{folder.name}/population: {rows:,} users from {file.path.name}")
            write.besides = {"file": file.sha256}
            metadata = describe_table(db, tables.features) | {
                "source": dg.MetadataValue.path(str(file.path)),
                "sha256": dg.MetadataValue.text(file.sha256),
            }
        yield from write.results(metadata)

    return population


def population_scores_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """The population's scores by the experiment's models."""
    experiment, tables = folder.experiment, folder.tables.population

    @dg.asset(
        **asset_options(folder, "population_scores", ["population", "scores"], ("duckdb", "xgboost")),
        description="The population's effects (CATE) under each learner, by the experiment's models. "
        "One row per user and treatment arm.",
    )
    def population_scores(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, folder, "population_scores")
        with write.transaction() as db:
            version = current_version(db, folder.name)
            loaded = bundle.load(engine.paths.bundles / version)
            rows = score_population(db, folder, loaded.models, loaded.manifest.features)
            expected = db.count(tables.features) * len(experiment.treatments)
            if rows != expected:
                raise DataError(f"{folder.name}: {rows} scores were written, expected {expected}")
            context.log.info(f"{folder.name}/population_scores: {rows:,} rows by {version}")
            metadata = describe_table(db, tables.scores)
            metadata |= {"model_version": dg.MetadataValue.text(version)}
        yield from write.results(metadata)

    return population_scores
