"""What the newest published snapshot says of a list."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import duckdb

from dagster_project.decisions.records import ListKey
from dagster_project.warehouse.sql import Identifier, render_text
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import newest_pointer

Row = dict[str, Any]
ROWS = """
from {{ table }} where experiment = $experiment and decision_date = $decision_date::date
    and ($campaign = '' or campaign = $campaign)
order by all
"""


def published_rows(home: Home, table: Identifier, key: ListKey) -> list[Row]:
    """Read a list's rows of a table; an empty campaign stands for all campaigns of the date."""
    file = home.published / newest_pointer(home.published).file
    with duckdb.connect(str(file), read_only=True) as con:
        return con.sql(render_text(ROWS, table=table), params=asdict(key)).to_arrow_table().to_pylist()
