"""The assets raw, features, assignment and population: the data about each user, from the files."""

# No postponed annotations here: Dagster reads an asset's annotations at run time.
import json

import dagster as dg
import pyarrow as pa

from dagster_project.assets.common import Results, asset_options
from dagster_project.assets.layer import LayerWrite
from dagster_project.compute import LayerQuery
from dagster_project.declared.experiment import COUNTED, ESTIMATED, BatchExperiment
from dagster_project.inputs.assignment import assignment_query
from dagster_project.inputs.clusters import refuse_missing_clusters
from dagster_project.inputs.exposure import refuse_odd_exposures
from dagster_project.inputs.features import register_features
from dagster_project.inputs.population import compute_features, load_population
from dagster_project.inputs.propensities import refuse_unfit_propensities, refuse_unknown_propensities
from dagster_project.inputs.row_numbers import refuse_moved_rows, remember_rows
from dagster_project.inputs.text_ids import refuse_changed_hash, refuse_unhashed
from dagster_project.inputs.weights import refuse_odd_weights
from dagster_project.reporting.lineage import column_lineage
from dagster_project.reporting.metadata import describe_table
from dagster_project.resources import Engine
from dagster_project.training.registry import current_version
from dagster_project.training.scoring import score_population
from dagster_project.warehouse.sql import Identifier, sql_sha256
from uplift_core.artifacts import bundle
from uplift_core.errors import DataError
from uplift_core.experiment.declaration import FEATURES_SQL, RAW_SQL


def raw_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of the unchanged source file."""
    declaration, tables = experiment.declaration, experiment.tables

    @dg.asset(
        **asset_options(experiment, "raw"),
        description=f"{declaration.title}: the file as it came. One row per user.",
    )
    def raw(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        source = engine.source(experiment, context.log.info)
        sql = (experiment.path / RAW_SQL).read_text(encoding="utf-8")
        write = LayerWrite(context, engine, experiment, "raw")
        with write.transaction() as db:
            last_row = remember_rows(db, experiment)
            refuse_changed_hash(db, experiment)
            try:
                rows, sha256 = engine.compute.load(db, experiment, source)
            finally:
                if source.is_copy:
                    source.path.unlink(missing_ok=True)
            refuse_moved_rows(db, experiment, last_row)
            refuse_unhashed(db, experiment)
            entry = {
                "experiment": [declaration.name],
                "source": [source.path.name],
                "sha256": [sha256],
                "row_count": [rows],
            }
            registry = Identifier.of("raw", "registry")
            db.replace_rows(registry, {"experiment": declaration.name}, pa.table(entry))
            write.besides = {"file": sha256, "sql": sql_sha256(sql)}
            context.log.info(f"{declaration.name}/raw: {rows:,} rows from {source.path.name}")
            metadata = describe_table(db, tables.raw, sql) | engine.where()
            metadata |= {
                "source": dg.MetadataValue.path(str(source.path)),
                "sha256": dg.MetadataValue.text(sha256),
            }
        yield from write.results(metadata)

    return raw


def features_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of the features, which the experiment's SQL makes."""
    declaration, tables = experiment.declaration, experiment.tables

    @dg.asset(
        **asset_options(experiment, "features", ["raw"]),
        description="Facts about each user that were known before the treatment. One row per user.",
    )
    def features(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        sql = experiment.features_sql.text
        write = LayerWrite(context, engine, experiment, "features")
        write.besides = {"sql": sql_sha256(sql)}
        with write.transaction() as db:
            query = LayerQuery("features", sql, author=f"{experiment.name}: {FEATURES_SQL}")
            rows = engine.compute.per_user(db, experiment, query)
            count = register_features(db, experiment)
            context.log.info(f"{declaration.name}/features: {rows:,} rows, {count} features")
            metadata = describe_table(db, tables.features, sql)
            metadata |= column_lineage(db, sql, _raw_tables(experiment))
        yield from write.results(metadata)

    return features


def assignment_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of each user's arm, split, fold and outcomes."""
    declaration, tables = experiment.declaration, experiment.tables

    @dg.asset(
        **asset_options(experiment, "assignment", ["raw"]),
        description="Each user's arm, split, cross-fitting fold and outcomes. One row per user.",
    )
    def assignment(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        sql, binds = assignment_query(experiment)
        if declaration.propensities == "estimate":
            context.log.warning(f"{declaration.name}: {ESTIMATED}")
        if declaration.strata_shares == "counted":
            context.log.warning(f"{declaration.name}: {COUNTED}")
        write = LayerWrite(context, engine, experiment, "assignment")
        write.besides = {"sql": sql_sha256(sql, json.dumps(binds, sort_keys=True))}
        with write.transaction() as db:
            refuse_missing_clusters(db, experiment, tables.raw)
            refuse_unknown_propensities(db, experiment)
            refuse_odd_exposures(db, experiment)
            refuse_odd_weights(db, experiment)
            rows = engine.compute.per_user(db, experiment, LayerQuery("assignment", sql, binds))
            refuse_unfit_propensities(db, experiment)
            context.log.info(f"{declaration.name}/assignment: {rows:,} rows")
            metadata = describe_table(db, tables.assignment, sql)
            metadata |= column_lineage(db, sql, _raw_tables(experiment))
        yield from write.results(metadata)

    return assignment


def _raw_tables(experiment: BatchExperiment) -> dict[str, dg.AssetKey]:
    """Return the raw asset's tables: the users and their histories."""
    names = [experiment.name, *(f"{experiment.name}_{table}" for table in experiment.declaration.tables)]
    return {f"raw.{name}": dg.AssetKey([experiment.name, "raw"]) for name in names}


def population_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of the users to decide about, with their features."""
    tables = experiment.tables.population

    @dg.asset(
        **asset_options(experiment, "population", ["raw", "features", "models"]),
        description="Users to decide about instead of the experiment's, with features by the same SQL. "
        "One row per user.",
    )
    def population(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, experiment, "population")
        with write.transaction() as db:
            with engine.population(experiment) as file:
                load_population(db, experiment, file)
            rows = compute_features(db, experiment)
            context.log.info(f"{experiment.name}/population: {rows:,} users from {file.path.name}")
            write.besides = {"file": file.sha256}
            metadata = describe_table(db, tables.features) | {
                "source": dg.MetadataValue.path(str(file.path)),
                "sha256": dg.MetadataValue.text(file.sha256),
            }
        yield from write.results(metadata)

    return population


def population_scores_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of the population's scores, by the experiment's models."""
    declaration, tables = experiment.declaration, experiment.tables.population

    @dg.asset(
        **asset_options(
            experiment, "population_scores", ["population", "scores"], ("duckdb", "xgboost")
        ),
        description="The population's effects (CATE) under each learner, by the experiment's models. "
        "One row per user and treatment arm.",
    )
    def population_scores(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, experiment, "population_scores")
        with write.transaction() as db:
            version = current_version(db, experiment.name)
            loaded = bundle.load(engine.paths.bundles / version)
            rows = score_population(db, experiment, loaded.models, loaded.manifest.features)
            expected = db.count(tables.features) * len(declaration.treatments)
            if rows != expected:
                raise DataError(f"{experiment.name}: {rows} scores were written, expected {expected}")
            context.log.info(f"{experiment.name}/population_scores: {rows:,} rows by {version}")
            metadata = describe_table(db, tables.scores)
            metadata |= {"model_version": dg.MetadataValue.text(version)}
        yield from write.results(metadata)

    return population_scores
