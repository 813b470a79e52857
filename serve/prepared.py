"""A query that is planned once and run on other rows each time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import duckdb
import numpy as np
import pyarrow as pa

ROWS = "request_rows"


class _Rows:
    """A relation for DuckDB (Arrow's PyCapsule interface) that holds other rows at every scan."""

    def __init__(self, empty: pa.Table) -> None:
        self.table = empty

    def __arrow_c_schema__(self) -> object:
        return self.table.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class _Planned:
    """The query, planned once, on a cursor of its own."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        sql: str,
        empty: pa.Table,
        variables: Mapping[str, object],
    ) -> None:
        self._empty, self._rows = empty, _Rows(empty)
        self._cursor = con.cursor()
        self._cursor.register(ROWS, self._rows)
        for name, value in variables.items():
            self._cursor.execute(f"set variable {name} = $value", {"value": value}).fetchall()
        self._cursor.execute(f"prepare planned as {sql}").fetchall()

    def run(self, rows: pa.Table) -> Mapping[str, np.ndarray]:
        self._rows.table = rows
        try:
            columns: Mapping[str, np.ndarray] = self._cursor.execute("execute planned").fetchnumpy()
        finally:
            self._rows.table = self._empty
        return columns


class PreparedQuery:
    """A query over the relation ``request_rows``; planning it anew costs more than few users do.

    Requests may run side by side, each with a plan of its own; one that is done is used again.
    ``variables`` are constants that ``sql`` reads by ``getvariable``: PREPARE takes no bound values.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        sql: str,
        empty: pa.Table,
        variables: Mapping[str, object] = {},
    ) -> None:
        self._con, self._sql, self._empty, self._variables = con, sql, empty, dict(variables)
        self._idle: deque[_Planned] = deque()

    def run(self, rows: pa.Table) -> Mapping[str, np.ndarray]:
        """Columns of the query's answer about ``rows``, which have the schema of ``empty``."""
        try:
            query = self._idle.pop()
        except IndexError:
            query = _Planned(self._con, self._sql, self._empty, self._variables)
        try:
            return query.run(rows)
        finally:
            self._idle.append(query)
