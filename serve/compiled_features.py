"""Compute the features of one user without SQL: a bundle's ``features.sql`` compiled to Python.

To run a query on one row costs DuckDB some 300 µs, most of it planning and Arrow. Most experiments use
few kinds of expressions: casts, comparisons, lists, conditions. DuckDB parses the SQL here too, so there
is no second grammar. SQL with any other expression is not compiled; DuckDB runs it for every request.

``serve.compiled_expressions`` compiles the expressions. ``serve.feature_proof`` compares features with
DuckDB's on a snapshot's rows before requests use the compiled form.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Final

import duckdb
import numpy as np

from serve.attributes import Columns
from serve.compiled_expressions import (
    Expression,
    Function,
    Node,
    Row,
    UnsupportedError,
    compile_expression,
    rounded,
)
from uplift_core.arrays import Floats
from uplift_core.artifacts.bundle import Manifest, RawColumn

# Parts of a SELECT that may be there: a list of expressions from one table, and nothing else.
PARTS: Final = {"type", "cte_map", "from_table", "select_list", "aggregate_handling"}
KIND_OF_TYPE: Final = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT"), "integer"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"), "integer"),
    "FLOAT": "float",
    "DOUBLE": "double",
    "BOOLEAN": "boolean",
    "VARCHAR": "text",
}


class CompiledFeatures:
    """Features of few users, equal to the bit to what ``features.sql`` computes."""

    def __init__(self, functions: Sequence[Function]) -> None:
        self._functions = functions

    def features(self, columns: Columns) -> Floats:
        """Compute the features of users: (n, n_features) float32; NaN is missing.

        Args:
            columns: checked values of n users by column, as ``RawSchema.rows`` returns them.

        Raises:
            NotExactError: DuckDB may compute another value for one of the users.
        """
        names, values = columns.keys(), columns.values()
        users = [dict(zip(names, user, strict=True)) for user in zip(*values, strict=True)]
        rows = [[function(user) for function in self._functions] for user in users]
        return np.array(rows, dtype=np.float32).reshape(len(users), len(self._functions))


def compile_features(con: duckdb.DuckDBPyConnection, manifest: Manifest) -> CompiledFeatures | None:
    """Compile a bundle's ``features.sql``; None if it has kinds of expressions that are not compiled.

    Args:
        con: a connection, whose parser is used.
        manifest: the bundle's SQL, its raw columns with their types, and its features in order.
    """
    try:
        columns = _columns(manifest.raw_columns)
        nodes = _select_list(con, manifest.features_sql, manifest.experiment.name)
        selected = {_name(node): node for node in nodes}
        return CompiledFeatures(
            [_feature(selected[name.lower()], columns) for name in manifest.features]
        )
    except (UnsupportedError, KeyError, duckdb.Error):  # KeyError: a node or a column of another kind
        return None


def _select_list(con: duckdb.DuckDBPyConnection, sql: str, table: str) -> Sequence[Node]:
    parse = "select json_serialize_sql($sql, skip_empty := true, skip_null := true)"
    parsed = json.loads(con.execute(parse, {"sql": sql}).fetchall()[0][0])
    (statement,) = parsed["statements"]
    node = statement["node"]
    source = node["from_table"]
    path = [part.lower() for part in source["qualified_name"]["path"]]
    if {key for key, part in node.items() if part} - PARTS or node["type"] != "SELECT_NODE":
        raise UnsupportedError
    changed = {"sample", "column_name_alias"} & source.keys()
    if source["type"] != "BASE_TABLE" or path != ["raw", table.lower()] or changed:
        raise UnsupportedError
    selected: Sequence[Node] = node["select_list"]
    return selected


def _name(node: Node) -> str:
    """Return the name of a selected column, in lower case: DuckDB ignores the case of names."""
    return str(node.get("alias") or node["column_names"][-1]).lower()


def _columns(raw_columns: Sequence[RawColumn]) -> dict[str, Expression]:
    """Compile the access to each column, by its name in lower case."""
    columns = {}
    for column in raw_columns:
        kind = "" if column.table else KIND_OF_TYPE.get(column.type, "")
        if kind:
            get = operator.itemgetter(column.name)
            columns[column.name.lower()] = Expression(kind, rounded(get) if kind == "float" else get)
    return columns


def _feature(node: Node, columns: Mapping[str, Expression]) -> Function:
    """Compile one feature; it must be FLOAT."""
    compiled = compile_expression(node, columns)
    if compiled.kind != "float":
        raise UnsupportedError
    inner = compiled.of

    def feature(row: Row) -> float:
        value = inner(row)
        return math.nan if value is None else value

    return feature
