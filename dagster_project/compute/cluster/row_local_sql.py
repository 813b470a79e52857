"""Check that SQL makes each row from one row alone; then parts of a file give the whole file's rows."""

from __future__ import annotations

import sqlglot
from sqlglot import exp

from uplift_core.errors import ExperimentError

NUMBER = "ROW_NUMBER() OVER ()"  # in raw.sql; the users before a part are added to its numbers
ACROSS = (exp.AggFunc, exp.Group, exp.Distinct, exp.Limit, exp.Offset, exp.Qualify, exp.TableSample)


def refuse_across_users(where: str, text: str) -> None:
    """Refuse SQL that reads other users' rows.

    Raises:
        ExperimentError: names the expression.
    """
    try:
        tree = sqlglot.parse_one(text, read="duckdb")
    except sqlglot.ParseError as error:
        raise ExperimentError(f"{where} cannot be checked for work in parts: {error}") from error
    windows = list(tree.find_all(exp.Window))
    numbers = {id(w.this) for w in windows if w.sql("duckdb").upper() == NUMBER}
    for node in [*windows, *tree.find_all(*ACROSS)]:
        if id(node) in numbers or id(getattr(node, "this", None)) in numbers:
            continue
        raise ExperimentError(
            f"{where}: {node.sql('duckdb')} looks across users. A cluster reads the file part by part, "
            "so each row must come from one row; rewrite it, or unset UPLIFT_CLUSTER"
        )
