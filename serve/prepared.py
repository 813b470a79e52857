"""A query that is planned once and then run on the rows of each request."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import duckdb
import numpy as np
import pyarrow as pa

ROWS = "request_rows"


class _Rows:
    """A relation for DuckDB (Arrow's PyCapsule interface) whose rows can change between two scans."""

    def __init__(self, empty: pa.Table) -> None:
        self.table = empty

    def __arrow_c_schema__(self) -> object:
        return self.table.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class _Planned:
    """The planned query on its separate cursor."""

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
    """A query over the relation ``request_rows``. For few users, planning costs more than running it.

    Requests may run at the same time: each uses a separate plan, and a plan that is free is used again.
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
        """Run the query on ``rows``, which have the schema of ``empty``; return the result's columns."""
        try:
            query = self._idle.pop()
        except IndexError:
            query = _Planned(self._con, self._sql, self._empty, self._variables)
        try:
            return query.run(rows)
        finally:
            self._idle.append(query)
