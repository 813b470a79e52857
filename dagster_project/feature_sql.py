"""What a feature SQL file says, read from its syntax tree: columns it reads, comments, trespasses.

A feature may read only what was known before the treatment. The file is parsed, not searched: a
column in a comment does no harm, one behind a star or in a join does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlglot
from sqlglot import exp

from uplift_core.errors import ExperimentError
from uplift_core.experiment import FEATURES_SQL, Experiment

# Functions whose value differs from run to run, as DuckDB spells them.
VOLATILE = frozenset(
    {"random", "setseed", "uuid", "uuidv4", "uuidv7", "gen_random_uuid", "nextval", "currval"}
    | {"now", "today", "current_date", "current_time", "current_timestamp", "transaction_timestamp"}
    | {"get_current_time", "get_current_timestamp", "localtime", "localtimestamp"}
    | {"current_localtime", "current_localtimestamp", "txid_current", "getvariable"}
)
RESERVED = frozenset({"cell", "arm", "split", "fold", "n"})  # the cells' own columns


@dataclass(frozen=True)
class FeatureSql:
    """A checked feature file: its text, the raw columns it reads, a description of each feature."""

    text: str
    raw_columns: tuple[str, ...]
    descriptions: dict[str, str]


def read_feature_sql(experiment: Experiment, folder: Path) -> FeatureSql:
    """Parse and check ``features.sql``.

    Raises:
        ExperimentError: it is not one SELECT with named columns from ``raw.<experiment>`` alone, or
            it reads the arm, an outcome or a column declared as no feature.
    """
    text = (folder / FEATURES_SQL).read_text(encoding="utf-8")
    where = f"{experiment.name}: {FEATURES_SQL}"
    try:
        statements = sqlglot.parse(text, read="duckdb")
    except sqlglot.ParseError as error:
        raise ExperimentError(f"{where} does not parse: {error}") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        raise ExperimentError(f"{where} must be one SELECT")
    select = statements[0]
    _refuse(where, select, experiment)
    columns = {column.name for column in select.find_all(exp.Column)} - {"user_id"}
    return FeatureSql(text, tuple(sorted(columns)), _descriptions(select))


def _refuse(where: str, select: exp.Select, experiment: Experiment) -> None:
    _refuse_tables(where, select, experiment)
    _refuse_hidden_columns(where, select)
    _refuse_names(where, select, experiment)
    forbidden = {name.lower() for name in experiment.forbidden_columns}
    for column in select.find_all(exp.Column):
        if column.name.lower() in forbidden:
            raise ExperimentError(
                f"{where} reads '{column.name}', which is the arm, an outcome or declared as no "
                "feature; features are what was known before the treatment"
            )
    for node in select.find_all(exp.Func, exp.TableSample):
        name = node.sql("duckdb").partition("(")[0].strip().lower()
        if name in VOLATILE or isinstance(node, exp.TableSample):
            raise ExperimentError(f"{where} calls {name}(); features must be the same on every run")


def _refuse_tables(where: str, select: exp.Select, experiment: Experiment) -> None:
    ctes = {("", "", cte.alias) for cte in select.find_all(exp.CTE)}
    for table in select.find_all(exp.Table):
        if (table.catalog, table.db, table.name) not in ctes | {("", "raw", experiment.name)}:
            raise ExperimentError(
                f"{where} reads {table.sql('duckdb')}; features come from raw.{experiment.name} alone"
            )


def _refuse_hidden_columns(where: str, select: exp.Select) -> None:
    """Refuse columns that are read without being named: by star, by place, as part of a row."""
    if any(select.find_all(exp.Star, exp.Columns, exp.PositionalColumn)):
        raise ExperimentError(f"{where}: name every column; a star could let an outcome in")
    if any(alias.columns for alias in select.find_all(exp.TableAlias)):
        raise ExperimentError(f"{where}: an alias renames columns; use their own names")
    tables = select.find_all(exp.Table, exp.Subquery, exp.CTE)
    rows = {table.alias_or_name.lower() for table in tables}
    for column in select.find_all(exp.Column):
        if column.name.lower() in rows:
            raise ExperimentError(
                f"{where} reads '{column.name}', a table's whole row; name its columns"
            )


def _refuse_names(where: str, select: exp.Select, experiment: Experiment) -> None:
    """Refuse features without a name of their own."""
    for item in select.expressions:
        if not isinstance(item, exp.Alias | exp.Column):
            raise ExperimentError(f"{where}: {item.sql('duckdb')} has no name; add 'as <name>'")
    names = [item.alias_or_name.lower() for item in select.expressions]
    sums = {f"{o.name}_{what}" for o in experiment.outcomes for what in ("sum", "sum_sq", "events")}
    for name in names:
        if names.count(name) > 1:
            raise ExperimentError(f"{where} yields '{name}' twice; give each feature a name of its own")
        if name in RESERVED | sums:
            raise ExperimentError(f"{where}: '{name}' is a column of the cells; rename the feature")


def _descriptions(select: exp.Select) -> dict[str, str]:
    return {
        item.alias_or_name: " ".join(
            comment.strip() for node in item.walk() for comment in node.comments or ()
        )
        for item in select.expressions
    }
