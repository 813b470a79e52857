"""What the newest published snapshot says of a list."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any

import duckdb

from dagster_project.decisions.records import ListKey
from dagster_project.warehouse.sql import Identifier, render_text
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import NothingPublishedError, newest_pointer

Row = dict[str, Any]
NEWEST = "select experiment, max(decision_date) from decisions.nights group by experiment"
ROWS = """
from {{ table }} where experiment = $experiment and decision_date = $decision_date::date
    and ($campaign = '' or campaign = $campaign)
order by all
"""


def newest_dates(home: Home) -> dict[str, date]:
    """Return the date of each experiment's newest published lists; empty if nothing is published."""
    try:
        file = home.published / newest_pointer(home.published).file
    except NothingPublishedError:
        return {}
    with duckdb.connect(str(file), read_only=True) as con:
        return dict(con.sql(NEWEST).fetchall())


def newest_measured(home: Home, experiment: str) -> str:
    """Return the newest date of an experiment whose lists are measured, or empty."""
    file = home.published / newest_pointer(home.published).file
    sql = "select max(decision_date)::varchar from decisions.realised where experiment = $experiment"
    with duckdb.connect(str(file), read_only=True) as con:
        return str(con.execute(sql, {"experiment": experiment}).fetchall()[0][0] or "")


def published_rows(home: Home, table: Identifier, key: ListKey) -> list[Row]:
    """Read a list's rows of a table; an empty campaign stands for all campaigns of the date."""
    file = home.published / newest_pointer(home.published).file
    with duckdb.connect(str(file), read_only=True) as con:
        return con.sql(render_text(ROWS, table=table), params=asdict(key)).to_arrow_table().to_pylist()
