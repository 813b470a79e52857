"""raw, features, assignment: from the file to what is known of each user."""

# No postponed annotations here: Dagster reads those of an asset as they stand.
import dagster as dg
import pyarrow as pa

from dagster_project.assets.common import asset_options
from dagster_project.folders import ExperimentFolder
from dagster_project.loading import create_by, load_raw
from dagster_project.metadata import describe_table
from dagster_project.resources import Engine
from dagster_project.sqlfiles import Identifier, render, sql_sha256
from dagster_project.warehouse import Warehouse
from uplift_core.errors import DataError, ExperimentError
from uplift_core.experiment import FEATURES_SQL, RAW_SQL


def raw_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """The source file as it came."""
    experiment, tables = folder.experiment, folder.tables

    @dg.asset(
        **asset_options(folder, "raw"),
        description=f"{experiment.title}: the file as it came. One row per user.",
    )
    def raw(context: dg.AssetExecutionContext, engine: Engine) -> dg.MaterializeResult:
        source = engine.source(folder, context.log.info)
        sql = (folder.folder / RAW_SQL).read_text(encoding="utf-8")
        with engine.warehouse() as db:
            rows, sha256 = load_raw(db, folder, source)
            check_raw(db, folder)
            check_published(db, folder)
            entry = {
                "experiment": [experiment.name],
                "source": [source.path.name],
                "sha256": [sha256],
                "row_count": [rows],
            }
            registry = Identifier.of("raw", "registry")
            db.replace_rows(registry, {"experiment": experiment.name}, pa.table(entry))
            context.log.info(f"{experiment.name}/raw: {rows:,} rows from {source.path.name}")
            return dg.MaterializeResult(
                metadata=describe_table(db, tables.raw, sql)
                | {"source": str(source.path), "sha256": sha256}
            )

    return raw


def features_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """The features, by the experiment's own SQL."""
    experiment, tables = folder.experiment, folder.tables

    @dg.asset(
        **asset_options(folder, "features", ["raw"]),
        description="What was known of each user before the treatment. One row per user.",
    )
    def features(context: dg.AssetExecutionContext, engine: Engine) -> dg.MaterializeResult:
        sql = folder.features_sql.text
        with engine.warehouse() as db:
            ordered = f"select * from ({sql}\n) order by user_id"
            rows = create_by(db, tables.features, ordered, where=f"{folder.name}: {FEATURES_SQL}")
            registry = check_features(db, folder)
            table = Identifier.of("features", "registry")
            db.replace_rows(table, {"experiment": experiment.name}, registry)
            context.log.info(f"{experiment.name}/features: {rows:,} rows, {registry.num_rows} features")
            return dg.MaterializeResult(metadata=describe_table(db, tables.features, sql))

    return features


def assignment_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """Arm, split, fold and outcomes."""
    experiment, tables = folder.experiment, folder.tables

    @dg.asset(
        **asset_options(folder, "assignment", ["raw"]),
        description="Each user's arm, split, cross-fitting fold and outcomes. One row per user.",
    )
    def assignment(context: dg.AssetExecutionContext, engine: Engine) -> dg.MaterializeResult:
        sql = render(
            "training/assignment.sql",
            raw=tables.raw,
            arm_column=Identifier.of(experiment.arm_column),
            outcomes=folder.outcomes,
        )
        binds = {
            "salt": experiment.split.salt,
            "holdout": experiment.split.holdout,
            "folds": experiment.split.folds,
            "arm_values": [str(arm.value) for arm in experiment.arms],
            "arm_names": [arm.name for arm in experiment.arms],
        }
        with engine.warehouse() as db:
            rows = db.create(tables.assignment, sql, binds)
            context.log.info(f"{experiment.name}/assignment: {rows:,} rows")
            return dg.MaterializeResult(metadata=describe_table(db, tables.assignment, sql))

    return assignment


def check_raw(db: Warehouse, folder: ExperimentFolder) -> None:
    """Refuse a raw table whose ids, arms or outcomes are not as declared.

    Raises:
        DataError: names the column, how many rows, and the first of them.
    """
    experiment, raw = folder.experiment, folder.tables.raw
    rows, users = db.one(f"select count(*), count(distinct user_id) from {raw}")
    if rows == 0:
        raise DataError(f"{experiment.name}: the source file holds no rows")
    if rows != users:
        raise DataError(f"{experiment.name}: column 'user_id' repeats {rows - users} times")
    values = [str(arm.value) for arm in experiment.arms]
    arm = Identifier.of(experiment.arm_column)
    sql = render("quality/arm_violations.sql", raw=raw, arm_column=arm)
    _refuse_rows(
        db.one(sql, {"arm_values": values}), experiment.name, experiment.arm_column, f"one of {values}"
    )
    for outcome in experiment.outcomes:
        sql = render("quality/outcome_violations.sql", raw=raw, outcome=Identifier.of(outcome.column))
        kinds = {"binary": outcome.kind == "binary", "counted": outcome.kind == "count"}
        _refuse_rows(db.one(sql, kinds), experiment.name, outcome.column, outcome.must_be)


def check_published(db: Warehouse, folder: ExperimentFolder) -> None:
    """Refuse a raw table that is not what is published about its file.

    Raises:
        DataError: names rows, or the column, and both figures.
    """
    published, raw = folder.experiment.published, folder.tables.raw
    if published is None:
        return
    rows = db.count(raw)
    if rows != published.rows:
        raise DataError(f"{folder.name}: {rows:,} rows, published are {published.rows:,}")
    for column, text in published.means.items():
        (mean,) = db.one(f"select avg({Identifier.of(column)}) from {raw}")
        digits = len(text.partition(".")[2])
        if round(mean, digits) != float(text):
            raise DataError(f"{folder.name}: the mean of '{column}' is {mean:.7f}, published is {text}")


def check_features(db: Warehouse, folder: ExperimentFolder) -> pa.Table:
    """Refuse features that no model can take; returns the experiment's rows of the registry.

    Raises:
        ExperimentError: a column is not FLOAT, user_id is not BIGINT, or users are lost or repeated.
        DataError: a value is infinite.
    """
    name, tables = folder.name, folder.tables
    columns = dict(row[:2] for row in db.rows(f"describe {tables.features}"))
    if columns.pop("user_id", None) != "BIGINT":
        raise ExperimentError(f"{name}: {FEATURES_SQL} must yield user_id as BIGINT")
    wrong = {column: type_ for column, type_ in columns.items() if type_ != "FLOAT"}
    if wrong or not columns:
        raise ExperimentError(f"{name}: {FEATURES_SQL} must yield FLOAT features, not {wrong}")
    rows, users, raw = db.one(
        f"select count(*), count(distinct user_id), (select count(*) from {tables.raw}) "
        f"from {tables.features}"
    )
    if not rows == users == raw:
        raise ExperimentError(
            f"{name}: {FEATURES_SQL} yields {rows} rows of {users} users for {raw} raw rows"
        )
    for feature in columns:
        sql = render(
            "quality/feature_violations.sql",
            features=tables.features,
            feature=Identifier.of(feature),
        )
        _refuse_rows(db.one(sql), name, feature, "finite or NaN")
    count = len(columns)
    return pa.table(
        {
            "experiment": [name] * count,
            "position": pa.array(range(1, count + 1), pa.int32()),
            "name": list(columns),
            "type": list(columns.values()),
            "description": [folder.features_sql.descriptions[column] for column in columns],
            "sql_file": [f"{name}/{FEATURES_SQL}"] * count,
            "sql_sha256": [sql_sha256(folder.features_sql.text)] * count,
        }
    )


def _refuse_rows(found: tuple, experiment: str, column: str, must: str) -> None:
    count, first_user, first_value = found
    if count:
        raise DataError(
            f"{experiment}: column '{column}' holds {first_value} at user_id {first_user} and "
            f"{count - 1} more rows that are not {must}; correct the file or the declaration"
        )
