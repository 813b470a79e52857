"""Read a feature SQL file from its syntax tree: the columns it reads, its comments, its violations.

A feature may read only columns that were known before the treatment. The file is parsed, not searched:
a column in a comment does no harm, a column behind a star or in a join does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from uplift_core.errors import ExperimentError
from uplift_core.experiment.declaration import FEATURES_SQL, Experiment

# Functions whose value differs from run to run, as DuckDB spells them.
VOLATILE = frozenset(
    {"random", "setseed", "uuid", "uuidv4", "uuidv7", "gen_random_uuid", "nextval", "currval"}
    | {"now", "today", "current_date", "current_time", "current_timestamp", "transaction_timestamp"}
    | {"get_current_time", "get_current_timestamp", "localtime", "localtimestamp"}
    | {"current_localtime", "current_localtimestamp", "txid_current", "getvariable"}
)
RESERVED = frozenset({"cell", "arm", "split", "fold", "n"})  # columns of the cells


@dataclass(frozen=True)
class FeatureSql:
    """A checked feature file: its text, the raw columns it reads, a description of each feature.

    ``history_columns`` are the columns that it reads of each declared history table.
    """

    text: str
    raw_columns: tuple[str, ...]
    descriptions: dict[str, str]
    history_columns: dict[str, tuple[str, ...]] = field(default_factory=dict)


def read_feature_sql(experiment: Experiment, folder: Path) -> FeatureSql:
    """Parse and check ``features.sql``.

    Raises:
        ExperimentError: the file is not one SELECT with named columns from ``raw.<experiment>`` alone,
            or it reads the arm, an outcome or a column declared as no feature.
    """
    where, text, select = _parse(experiment, folder)
    for fault in _faults(where, select, experiment):
        raise ExperimentError(fault)
    read = _columns_read(where, select)
    raw = read.pop(experiment.name, set())
    histories = {
        name: tuple(sorted(read.get(f"{experiment.name}_{name}", ()))) for name in experiment.tables
    }
    return FeatureSql(text, tuple(sorted(raw)), _descriptions(select), histories)


def feature_faults(experiment: Experiment, folder: Path) -> list[str]:
    """List all that ``read_feature_sql`` refuses; it names the first only."""
    try:
        where, _, select = _parse(experiment, folder)
        return list(_faults(where, select, experiment)) or _faults_of_reading(where, select)
    except ExperimentError as error:
        return [str(error)]


def _parse(experiment: Experiment, folder: Path) -> tuple[str, str, exp.Select]:
    """Return the file's name for messages, its text and its syntax tree."""
    text = (folder / FEATURES_SQL).read_text(encoding="utf-8")
    where = f"{experiment.name}: {FEATURES_SQL}"
    try:
        statements = sqlglot.parse(text, read="duckdb")
    except sqlglot.ParseError as error:
        raise ExperimentError(f"{where} does not parse: {error}") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        raise ExperimentError(f"{where} must be one SELECT")
    return where, text, statements[0]


def _faults(where: str, select: exp.Select, experiment: Experiment) -> Iterator[str]:
    yield from _foreign_tables(where, select, experiment)
    yield from _hidden_columns(where, select)
    yield from _wrong_names(where, select, experiment)
    forbidden = {name.lower() for name in experiment.forbidden_columns}
    for column in select.find_all(exp.Column):
        if column.name.lower() in forbidden:
            yield (
                f"{where} reads '{column.name}', which is the arm, an outcome, one of the file's ids, "
                "the cluster or declared as no feature; a feature must be known before the treatment"
            )
    for node in select.find_all(exp.Func, exp.TableSample):
        name = node.sql("duckdb").partition("(")[0].strip().lower()
        if name in VOLATILE or isinstance(node, exp.TableSample):
            yield f"{where} calls {name}(); features must be the same on every run"


def _faults_of_reading(where: str, select: exp.Select) -> list[str]:
    try:
        _columns_read(where, select)
    except ExperimentError as error:
        return [str(error)]
    return []


def _foreign_tables(where: str, select: exp.Select, experiment: Experiment) -> Iterator[str]:
    ctes = {("", "", cte.alias) for cte in select.find_all(exp.CTE)}
    names = [experiment.name, *(f"{experiment.name}_{name}" for name in experiment.tables)]
    allowed = ctes | {("", "raw", name) for name in names}
    for table in select.find_all(exp.Table):
        if (table.catalog, table.db, table.name) not in allowed:
            yield (
                f"{where} reads {table.sql('duckdb')}; features come from "
                f"{' and '.join(f'raw.{name}' for name in names)} alone"
            )


def _columns_read(where: str, select: exp.Select) -> dict[str, set[str]]:
    """Map every raw table to the columns that are read of it, without user_id."""
    read: dict[str, set[str]] = {}
    for scope in traverse_scope(select):
        aliases = {name.lower() for name in _outputs(scope)}
        for column in scope.columns:
            name = column.name.lower()
            if name == "user_id":
                continue
            tables = _tables_of(scope, column)
            if len(tables) > 1 and name not in aliases:
                raise ExperimentError(
                    f"{where} reads '{column.name}' without naming its table; write "
                    f"<table's alias>.{column.name}"
                )
            for table in tables[:1]:
                read.setdefault(table, set()).add(column.name)
    return read


def _outputs(scope: Scope) -> list[str]:
    query = scope.expression
    return query.named_selects if isinstance(query, exp.Query) else []


def _tables_of(scope: Scope, column: exp.Column) -> list[str]:
    """List the raw tables that a column may come from; none if a subquery computes it."""
    inner: Scope | None = scope
    while inner is not None:
        if column.table in inner.sources:
            source = inner.sources[column.table]
            return [source.name] if isinstance(source, exp.Table) else []
        inner = inner.parent
    sources = [source for _, source in scope.selected_sources.values()]
    inside = [source for source in sources if isinstance(source, Scope)]
    if any(column.name in _outputs(source) for source in inside):
        return []
    return [source.name for source in sources if isinstance(source, exp.Table)]


def _hidden_columns(where: str, select: exp.Select) -> Iterator[str]:
    """Find columns that are read without their name: by star, by position, as part of a row."""
    if any(select.find_all(exp.Star, exp.Columns, exp.PositionalColumn)):
        yield f"{where}: name every column; a star could let an outcome in"
    if any(alias.columns for alias in select.find_all(exp.TableAlias)):
        yield f"{where}: an alias renames columns; use their names in the table"
    tables = select.find_all(exp.Table, exp.Subquery, exp.CTE)
    rows = {table.alias_or_name.lower() for table in tables}
    for column in select.find_all(exp.Column):
        if column.name.lower() in rows:
            yield f"{where} reads '{column.name}', a table's whole row; name its columns"


def _wrong_names(where: str, select: exp.Select, experiment: Experiment) -> Iterator[str]:
    """Find features without a name, and names that occur twice or are reserved."""
    for item in select.expressions:
        if not isinstance(item, exp.Alias | exp.Column):
            yield f"{where}: {item.sql('duckdb')} has no name; add 'as <name>'"
    names = [item.alias_or_name.lower() for item in select.expressions]
    sums = {f"{o.name}_{what}" for o in experiment.outcomes for what in ("sum", "sum_sq", "events")}
    taken = RESERVED | sums | ({"cluster"} if experiment.cluster else set())
    taken |= {"propensity"} if experiment.propensity_varies else set()
    for name in dict.fromkeys(filter(None, names)):
        if names.count(name) > 1:
            yield f"{where} yields '{name}' twice; give each feature a different name"
        if name in taken:
            yield f"{where}: '{name}' is a column of the cells; rename the feature"


def _descriptions(select: exp.Select) -> dict[str, str]:
    return {
        item.alias_or_name: " ".join(
            comment.strip() for node in item.walk() for comment in node.comments or ()
        )
        for item in select.expressions
    }
