"""Compute the features of one user without SQL: a bundle's ``features.sql`` compiled to Python.

To run a query on one row costs DuckDB some 300 µs, most of it planning and Arrow. Most experiments use
few kinds of expressions: casts, comparisons, lists, conditions. DuckDB parses the SQL here too, so there
is no second grammar. SQL with any other expression is not compiled; DuckDB runs it for every request.

Types matter: the same expression rounds differently for FLOAT and DOUBLE. So every compiled expression
has a kind, and a combination is compiled only if all of DuckDB's casts in it are exact. Values for which
that does not hold raise ``NotExactError``, and DuckDB computes that request. ``serve.feature_proof``
compares both on a snapshot's rows before requests use the compiled form.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import duckdb
import numpy as np

from serve.attributes import Columns
from uplift_core.arrays import Floats
from uplift_core.artifacts.bundle import Manifest, RawColumn

Row = Mapping[str, Any]  # one user's checked values, None where missing
Function = Callable[[Row], Any]
Node = Mapping[str, Any]  # of DuckDB's syntax tree

EXACT_INTEGERS: Final = 2**53  # up to here a double holds every whole number
MAX_FLOAT: Final = float(np.finfo(np.float32).max)
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
# (kind, kind of a number in the SQL): the second is cast to the first without a change of value.
EXACT_CASTS: Final = (
    *(("float", "whole"), ("float", "fraction"), ("double", "whole"), ("double", "fraction")),
    *(("integer", "whole"), ("fraction", "whole")),
)
COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "COMPARE_EQUAL": operator.eq,
    "COMPARE_NOTEQUAL": operator.ne,
    "COMPARE_LESSTHAN": operator.lt,
    "COMPARE_LESSTHANOREQUALTO": operator.le,
    "COMPARE_GREATERTHAN": operator.gt,
    "COMPARE_GREATERTHANOREQUALTO": operator.ge,
}


class NotExactError(ValueError):
    """The compiled form may round a value of this user differently from DuckDB."""


class _UnsupportedError(Exception):
    """The SQL has an expression that is not compiled."""


@dataclass(frozen=True)
class _Expression:
    """A compiled expression.

    ``kind`` is integer, float, double, boolean or text; ``whole`` or ``fraction`` for a number in the
    SQL, which FLOAT must hold exactly, so that it is the same in every type; ``null`` for NULL.
    """

    kind: str
    of: Function


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
    except (_UnsupportedError, KeyError, duckdb.Error):  # KeyError: a node or a column of another kind
        return None


def _select_list(con: duckdb.DuckDBPyConnection, sql: str, table: str) -> Sequence[Node]:
    parse = "select json_serialize_sql($sql, skip_empty := true, skip_null := true)"
    parsed = json.loads(con.execute(parse, {"sql": sql}).fetchall()[0][0])
    (statement,) = parsed["statements"]
    node = statement["node"]
    source = node["from_table"]
    path = [part.lower() for part in source["qualified_name"]["path"]]
    if {key for key, part in node.items() if part} - PARTS or node["type"] != "SELECT_NODE":
        raise _UnsupportedError
    changed = {"sample", "column_name_alias"} & source.keys()
    if source["type"] != "BASE_TABLE" or path != ["raw", table.lower()] or changed:
        raise _UnsupportedError
    selected: Sequence[Node] = node["select_list"]
    return selected


def _name(node: Node) -> str:
    """Return the name of a selected column, in lower case: DuckDB ignores the case of names."""
    return str(node.get("alias") or node["column_names"][-1]).lower()


def _columns(raw_columns: Sequence[RawColumn]) -> dict[str, _Expression]:
    """Compile the access to each column, by its name in lower case."""
    columns = {}
    for column in raw_columns:
        kind = "" if column.table else KIND_OF_TYPE.get(column.type, "")
        if kind:
            get = operator.itemgetter(column.name)
            columns[column.name.lower()] = _Expression(kind, _rounded(get) if kind == "float" else get)
    return columns


def _feature(node: Node, columns: Mapping[str, _Expression]) -> Function:
    """Compile one feature; it must be FLOAT."""
    compiled = _compiled(node, columns)
    if compiled.kind != "float":
        raise _UnsupportedError
    inner = compiled.of

    def feature(row: Row) -> float:
        value = inner(row)
        return math.nan if value is None else value

    return feature


def _compiled(node: Node, columns: Mapping[str, _Expression]) -> _Expression:
    type_ = str(node["type"])
    if type_ == "COLUMN_REF":
        return columns[str(node["column_names"][-1]).lower()]
    if type_ == "VALUE_CONSTANT":
        return _constant(node["literal"])
    if type_ == "OPERATOR_CAST":
        return _cast(_compiled(node["child"], columns), node)
    if type_ in COMPARISONS:
        sides = [_compiled(node[side], columns) for side in ("left", "right")]
        _common_kind(sides)
        return _comparison(COMPARISONS[type_], *sides)
    if type_ == "CASE_EXPR":
        return _case(node, columns)
    children = [_compiled(child, columns) for child in node["children"]]
    return _operator(type_, children)


def _constant(literal: Node) -> _Expression:
    kind, text = str(literal["kind"]), str(literal.get("text", ""))
    if kind == "NULL_LITERAL":
        return _Expression("null", lambda _: None)
    if kind == "STRING":
        return _Expression("text", lambda _: text)
    if kind not in {"INTEGER", "NUMERIC"}:
        raise _UnsupportedError
    number = float(np.float32(text))
    if Decimal(text) != Decimal(number):
        raise _UnsupportedError
    value, kind = (int(number), "whole") if kind == "INTEGER" else (number, "fraction")
    return _Expression(kind, lambda _: value)


def _cast(inner: _Expression, node: Node) -> _Expression:
    target = str(node["type_expr"]["type_name"]).upper()
    if node["try_cast"] or target not in {"FLOAT", "REAL", "DOUBLE"} or inner.kind == "text":
        raise _UnsupportedError
    numbers = _numbers(inner.of)
    if target == "DOUBLE":
        return _Expression("double", numbers)
    return _Expression("float", _rounded(numbers))


def _numbers(inner: Function) -> Function:
    """Return the function as a double; whole numbers are exact, or refused."""

    def number(row: Row) -> float | None:
        value = inner(row)
        if value is None:
            return None
        if isinstance(value, int) and abs(value) > EXACT_INTEGERS:
            raise NotExactError
        return float(value)

    return number


def _rounded(inner: Function) -> Function:
    """Return the function as FLOAT: rounded to single precision."""

    def single(row: Row) -> float | None:
        value = inner(row)
        if value is None:
            return None
        if not abs(value) <= MAX_FLOAT:
            raise NotExactError
        return float(np.float32(value))

    return single


def _common_kind(expressions: Sequence[_Expression]) -> str:
    """Return the kind in which DuckDB compares or returns these, if no value changes by the cast."""
    kinds = {one.kind for one in expressions} - {"null"}
    for wider, narrower in EXACT_CASTS:
        if wider in kinds:
            kinds.discard(narrower)
    if len(kinds) != 1:
        raise _UnsupportedError
    return kinds.pop()


def _comparison(
    compare: Callable[[Any, Any], bool], left: _Expression, right: _Expression
) -> _Expression:
    a, b = left.of, right.of

    def comparison(row: Row) -> bool | None:
        x, y = a(row), b(row)
        return None if x is None or y is None else compare(x, y)

    return _Expression("boolean", comparison)


def _case(node: Node, columns: Mapping[str, _Expression]) -> _Expression:
    checks = [
        (_compiled(check["when_expr"], columns), _compiled(check["then_expr"], columns))
        for check in node["case_checks"]
    ]
    otherwise = _compiled(node["else_expr"], columns)
    if any(when.kind != "boolean" for when, _ in checks):
        raise _UnsupportedError
    kind = _common_kind([*(then for _, then in checks), otherwise])
    branches = [(when.of, then.of) for when, then in checks]

    def case(row: Row) -> Any:
        chosen = (then for when, then in branches if when(row))
        return next(chosen, otherwise.of)(row)

    return _Expression(kind, case)


def _operator(type_: str, children: Sequence[_Expression]) -> _Expression:
    functions = [child.of for child in children]
    first = functions[0]
    if type_ == "OPERATOR_IS_NULL":
        return _Expression("boolean", lambda row: first(row) is None)
    if type_ == "OPERATOR_IS_NOT_NULL":
        return _Expression("boolean", lambda row: first(row) is not None)
    kind = _common_kind(children)
    if type_ == "OPERATOR_COALESCE":
        return _Expression(
            kind, lambda row: next((v for f in functions if (v := f(row)) is not None), None)
        )
    if type_ in {"COMPARE_IN", "COMPARE_NOT_IN"}:
        one_of = _any([_comparison(operator.eq, children[0], other).of for other in children[1:]])
        return _Expression("boolean", one_of if type_ == "COMPARE_IN" else _not(one_of))
    if kind != "boolean":
        raise _UnsupportedError
    return _Expression("boolean", _logic(type_, functions))


def _logic(type_: str, functions: Sequence[Function]) -> Function:
    if type_ == "OPERATOR_NOT":
        return _not(functions[0])
    if type_ == "CONJUNCTION_OR":
        return _any(functions)
    if type_ == "CONJUNCTION_AND":  # De Morgan: a and b is not (not a or not b), also with NULL
        return _not(_any([_not(function) for function in functions]))
    raise _UnsupportedError


def _not(function: Function) -> Function:
    def negated(row: Row) -> bool | None:
        value = function(row)
        return None if value is None else not value

    return negated


def _any(functions: Sequence[Function]) -> Function:
    """Return true if any is true, or else NULL if any is NULL: SQL's OR."""

    def any_of(row: Row) -> bool | None:
        unknown = False
        for function in functions:
            value = function(row)
            if value:
                return True
            unknown = unknown or value is None
        return None if unknown else False

    return any_of
