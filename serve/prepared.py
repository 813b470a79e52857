"""A query that is planned once and then run on the rows of each request."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import duckdb
import numpy as np
import pyarrow as pa

from serve.time_limit import WATCH

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
        self._sql, self._is_planned = sql, False

    def run(self, rows: pa.Table, seconds: float) -> Mapping[str, np.ndarray]:
        self._rows.table = rows
        try:
            with WATCH.limited(self._cursor, seconds):
                if not self._is_planned:  # constants are computed now, so this is limited as well
                    self._cursor.execute(f"prepare planned as {self._sql}").fetchall()
                    self._is_planned = True
                columns: Mapping[str, np.ndarray] = self._cursor.execute("execute planned").fetchnumpy()
        finally:
            self._rows.table = self._empty
        return columns


class PreparedQuery:
    """A query over the relation ``request_rows``. For few users, planning costs more than running it.

    Requests may run at the same time: each uses a separate plan, and a plan that is free is used again.
    ``variables`` are constants that ``sql`` reads by ``getvariable``: PREPARE takes no bound values.
    A run that takes longer than ``seconds`` is interrupted.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        sql: str,
        empty: pa.Table,
        variables: Mapping[str, object] = {},
        *,
        seconds: float = math.inf,
    ) -> None:
        self._seconds = seconds
        self._con, self._sql, self._empty, self._variables = con, sql, empty, dict(variables)
        self._idle: deque[_Planned] = deque()

    def run(self, rows: pa.Table, *, seconds: float | None = None) -> Mapping[str, np.ndarray]:
        """Run the query on ``rows``, which have the schema of ``empty``; return the result's columns.

        Raises:
            duckdb.InterruptException: it takes longer than ``seconds``, or those of this query.
        """
        try:
            query = self._idle.pop()
        except IndexError:
            query = _Planned(self._con, self._sql, self._empty, self._variables)
        try:
            return query.run(rows, self._seconds if seconds is None else seconds)
        finally:
            self._idle.append(query)
