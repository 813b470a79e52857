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

VOLATILE = {"random", "uuid", "gen_random_uuid", "now", "today", "current_timestamp", "nextval"}


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
    if any(select.find_all(exp.Star)) or any(select.find_all(exp.Columns)):
        raise ExperimentError(f"{where}: name every column; a star could let an outcome in")
    ctes = {cte.alias for cte in select.find_all(exp.CTE)}
    for table in select.find_all(exp.Table):
        if (table.db, table.name) != ("raw", experiment.name) and table.name not in ctes:
            raise ExperimentError(
                f"{where} reads {table.sql('duckdb')}; features come from raw.{experiment.name} alone"
            )
    forbidden = {name.lower() for name in experiment.forbidden_columns}
    for column in select.find_all(exp.Column):
        if column.name.lower() in forbidden:
            raise ExperimentError(
                f"{where} reads '{column.name}', which is the arm, an outcome or declared as no "
                "feature; features are what was known before the treatment"
            )
    for function in select.find_all(exp.Func):
        name = (function.name or function.key).lower()
        if name in VOLATILE or function.key in {"rand", "uuid", "currenttimestamp", "currentdate"}:
            raise ExperimentError(f"{where} calls {name}(); features must be the same on every run")


def _descriptions(select: exp.Select) -> dict[str, str]:
    return {
        item.alias_or_name: " ".join(
            comment.strip() for node in item.walk() for comment in node.comments or ()
        )
        for item in select.expressions
    }
