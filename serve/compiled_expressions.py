"""Compile single expressions of DuckDB's syntax tree to Python functions of one user's values.

Types matter: the same expression rounds differently for FLOAT and DOUBLE. So every compiled expression
has a kind, and a combination is compiled only if all of DuckDB's casts in it are exact. Values for which
that does not hold raise ``NotExactError``, and DuckDB computes that request.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np

Row = Mapping[str, Any]  # one user's checked values, None where missing
Function = Callable[[Row], Any]
Node = Mapping[str, Any]  # of DuckDB's syntax tree

EXACT_INTEGERS: Final = 2**53  # up to here a double holds every whole number
MAX_FLOAT: Final = float(np.finfo(np.float32).max)
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


class UnsupportedError(Exception):
    """The SQL has an expression that is not compiled."""


@dataclass(frozen=True)
class Expression:
    """A compiled expression.

    ``kind`` is integer, float, double, boolean or text; ``whole`` or ``fraction`` for a number in the
    SQL, which FLOAT must hold exactly, so that it is the same in every type; ``null`` for NULL.
    """

    kind: str
    of: Function


def compile_expression(node: Node, columns: Mapping[str, Expression]) -> Expression:
    """Compile a node of the syntax tree.

    Args:
        node: the node.
        columns: compiled access to each raw column, by its name in lower case.

    Raises:
        UnsupportedError: the node is of a kind that is not compiled.
        KeyError: so is one of its parts, or it reads another column.
    """
    type_ = str(node["type"])
    if type_ == "COLUMN_REF":
        return columns[str(node["column_names"][-1]).lower()]
    if type_ == "VALUE_CONSTANT":
        return _constant(node["literal"])
    if type_ == "OPERATOR_CAST":
        return _cast(compile_expression(node["child"], columns), node)
    if type_ in COMPARISONS:
        sides = [compile_expression(node[side], columns) for side in ("left", "right")]
        _common_kind(sides)
        return _comparison(COMPARISONS[type_], *sides)
    if type_ == "CASE_EXPR":
        return _case(node, columns)
    children = [compile_expression(child, columns) for child in node["children"]]
    return _operator(type_, children)


def _constant(literal: Node) -> Expression:
    kind, text = str(literal["kind"]), str(literal.get("text", ""))
    if kind == "NULL_LITERAL":
        return Expression("null", lambda _: None)
    if kind == "STRING":
        return Expression("text", lambda _: text)
    if kind not in {"INTEGER", "NUMERIC"}:
        raise UnsupportedError
    number = float(np.float32(text))
    if Decimal(text) != Decimal(number):
        raise UnsupportedError
    value, kind = (int(number), "whole") if kind == "INTEGER" else (number, "fraction")
    return Expression(kind, lambda _: value)


def _cast(inner: Expression, node: Node) -> Expression:
    target = str(node["type_expr"]["type_name"]).upper()
    if node["try_cast"] or target not in {"FLOAT", "REAL", "DOUBLE"} or inner.kind == "text":
        raise UnsupportedError
    numbers = _numbers(inner.of)
    if target == "DOUBLE":
        return Expression("double", numbers)
    return Expression("float", rounded(numbers))


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


def rounded(inner: Function) -> Function:
    """Return the function as FLOAT: rounded to single precision."""

    def single(row: Row) -> float | None:
        value = inner(row)
        if value is None:
            return None
        if not abs(value) <= MAX_FLOAT:
            raise NotExactError
        return float(np.float32(value))

    return single


def _common_kind(expressions: Sequence[Expression]) -> str:
    """Return the kind in which DuckDB compares or returns these, if no value changes by the cast."""
    kinds = {one.kind for one in expressions} - {"null"}
    for wider, narrower in EXACT_CASTS:
        if wider in kinds:
            kinds.discard(narrower)
    if len(kinds) != 1:
        raise UnsupportedError
    return kinds.pop()


def _comparison(compare: Callable[[Any, Any], bool], left: Expression, right: Expression) -> Expression:
    a, b = left.of, right.of

    def comparison(row: Row) -> bool | None:
        x, y = a(row), b(row)
        return None if x is None or y is None else compare(x, y)

    return Expression("boolean", comparison)


def _case(node: Node, columns: Mapping[str, Expression]) -> Expression:
    checks = [
        (
            compile_expression(check["when_expr"], columns),
            compile_expression(check["then_expr"], columns),
        )
        for check in node["case_checks"]
    ]
    otherwise = compile_expression(node["else_expr"], columns)
    if any(when.kind != "boolean" for when, _ in checks):
        raise UnsupportedError
    kind = _common_kind([*(then for _, then in checks), otherwise])
    branches = [(when.of, then.of) for when, then in checks]

    def case(row: Row) -> Any:
        chosen = (then for when, then in branches if when(row))
        return next(chosen, otherwise.of)(row)

    return Expression(kind, case)


def _operator(type_: str, children: Sequence[Expression]) -> Expression:
    functions = [child.of for child in children]
    first = functions[0]
    if type_ == "OPERATOR_IS_NULL":
        return Expression("boolean", lambda row: first(row) is None)
    if type_ == "OPERATOR_IS_NOT_NULL":
        return Expression("boolean", lambda row: first(row) is not None)
    kind = _common_kind(children)
    if type_ == "OPERATOR_COALESCE":
        return Expression(
            kind, lambda row: next((v for f in functions if (v := f(row)) is not None), None)
        )
    if type_ in {"COMPARE_IN", "COMPARE_NOT_IN"}:
        one_of = _any([_comparison(operator.eq, children[0], other).of for other in children[1:]])
        return Expression("boolean", one_of if type_ == "COMPARE_IN" else _not(one_of))
    if kind != "boolean":
        raise UnsupportedError
    return Expression("boolean", _logic(type_, functions))


def _logic(type_: str, functions: Sequence[Function]) -> Function:
    if type_ == "OPERATOR_NOT":
        return _not(functions[0])
    if type_ == "CONJUNCTION_OR":
        return _any(functions)
    if type_ == "CONJUNCTION_AND":  # De Morgan: a and b is not (not a or not b), also with NULL
        return _not(_any([_not(function) for function in functions]))
    raise UnsupportedError


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
