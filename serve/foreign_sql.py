"""SQL of a bundle is data: one SELECT from the request's tables, or it is not run.

DuckDB parses it here as it will run it, so there is no second grammar. What a SELECT could still do is
stopped by the connection: it has no files, little memory, and a limit of time (``time_limit``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, Final

import duckdb

from uplift_core.errors import BundleError

# DuckDB's names of what may stand after FROM.
TABLES: Final = {
    "BASE_TABLE",
    "SUBQUERY",
    "JOIN",
    "EXPRESSION_LIST",
    "EMPTY",
    "EMPTY_FROM",
    "TABLE_FUNCTION",
}
SETS: Final = {"SELECT_NODE", "SET_OPERATION_NODE", "CTE_NODE"}  # both sides of a UNION are such
TABLE_FUNCTIONS: Final = {"unnest"}
UNBOUNDED: Final = {"RECURSIVE_CTE_NODE"}
# They make texts of any length in one step, which neither memory_limit nor an interruption stops; run
# SQL that is built from texts; or read what is no attribute.
FUNCTIONS: Final = {
    *("repeat", "lpad", "rpad", "format", "printf"),
    *("query", "query_table", "getvariable", "current_setting", "getenv"),
}


def refuse_other_sql(
    con: duckdb.DuckDBPyConnection, name: str, sql: str, tables: Collection[str]
) -> None:
    """Refuse SQL that is not one SELECT from tables of the schema ``raw``.

    Args:
        con: a connection, whose parser is used; nothing is run.
        name: the experiment, for messages.
        sql: the bundle's SQL.
        tables: the tables of ``raw`` that it may read.

    Raises:
        BundleError: names what is not allowed.
    """
    try:
        statements = con.extract_statements(sql)
    except duckdb.Error as error:
        raise BundleError(f"{name}: features.sql does not parse: {_line(error)}; train again") from error
    kinds = [statement.type.name for statement in statements]
    if kinds != ["SELECT"]:
        raise BundleError(
            f"{name}: features.sql has the statements {', '.join(kinds) or 'none'}; one SELECT is run"
        )
    (text,) = con.execute("select json_serialize_sql($sql)", {"sql": sql}).fetchall()[0]
    tree = json.loads(text)
    if tree["error"]:
        raise BundleError(f"{name}: features.sql cannot be checked: {tree['error_message']}")
    for fault in _faults(tree["statements"], tables):
        raise BundleError(f"{name}: features.sql {fault}; only the request's columns may be read")


def _faults(tree: list[Any], tables: Collection[str]) -> Iterator[str]:
    nodes = list(_nodes(tree))
    ctes = {str(entry["key"]).lower() for node in nodes for entry in _ctes(node)}
    allowed = {f"raw.{table}".lower() for table in tables} | ctes
    for node in nodes:
        kind = node.get("type")
        if kind in UNBOUNDED:
            yield "is recursive"
        if kind == "BASE_TABLE":
            path = [node["catalog_name"], node["schema_name"], node["table_name"]]
            read = ".".join(part for part in path if part)
            if read.lower() not in allowed:
                yield f"reads {read}"
        if kind == "TABLE_FUNCTION" and node["function"]["function_name"].lower() not in TABLE_FUNCTIONS:
            yield f"reads {node['function']['function_name']}()"
        if node.get("class") == "FUNCTION" and node["function_name"].lower() in FUNCTIONS:
            yield f"calls {node['function_name']}()"
        for part in ("from_table", "left", "right"):
            inner = node.get(part)
            if isinstance(inner, dict) and "class" not in inner and inner["type"] not in TABLES | SETS:
                yield f"reads from a {inner['type']}"


def _ctes(node: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.get("cte_map", {}).get("map", []) if "cte_map" in node else []
    return found


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Yield every object of a syntax tree; without recursion, since a tree may be deep."""
    left = [tree]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield value
            left += value.values()
        elif isinstance(value, list):
            left += value


def _line(error: duckdb.Error) -> str:
    return str(error).partition("\n")[0]
