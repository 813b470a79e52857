"""Generate the SQL that bins features from the bins' edges.

A balanced ``case`` finds a value's bin in log2(bins) comparisons.
"""

from __future__ import annotations

import numpy as np

from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.table_names import Tables
from uplift_core.arrays import Floats
from uplift_core.cells import BinEdges

INDENT = "    "


def binned_select(edges: BinEdges, tables: Tables) -> str:
    """Generate a SELECT of user_id and each feature's lower bin edge: FLOAT; null becomes NaN."""
    columns = []
    for name, edge in zip(edges.features, edges.edges, strict=True):
        column = Identifier.of(name)
        body = _case(column, edge, depth=2)
        columns.append(
            f"{INDENT}case when {column} is null or isnan({column}) then 'nan'::float\n"
            f"{INDENT}else {body}\n{INDENT}end as {column}"
        )
    return (
        "/* Each user's features as the lower edges of their bins; generated from the train split's\n"
        "   edges.  Grain: user_id. */\n"
        "select\n    user_id,\n" + ",\n".join(columns) + f"\nfrom {tables.features}\n"
    )


def float_literal(value: np.float32) -> str:
    """Format a finite float32 as SQL, in the shortest form that reads back as the same number."""
    if not np.isfinite(value):
        raise ValueError(f"{value} is no edge")
    return f"'{np.format_float_scientific(value, unique=True)}'::float"


def _case(column: Identifier, edges: Floats, depth: int) -> str:
    if len(edges) == 1:
        return float_literal(edges[0])
    middle = len(edges) // 2
    pad = INDENT * depth
    below = _case(column, edges[:middle], depth + 1)
    above = _case(column, edges[middle:], depth + 1)
    return (
        f"case when {column} < {float_literal(edges[middle])}\n"
        f"{pad}then {below}\n{pad}else {above}\n{pad}end"
    )
