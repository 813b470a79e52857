"""The warehouse: the one DuckDB file that only the batch opens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from dagster_project.warehouse.comments import comment_statements, comments_for
from dagster_project.warehouse.sql import Identifier, literal
from dagster_project.warehouse.table_names import VIEW
from uplift_core.errors import DataError


class Warehouse:
    """An open connection to a DuckDB file of the batch, with the methods that write it."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con

    @contextmanager
    def second_connection(self) -> Iterator[Warehouse]:
        """Open another connection to the same database; it sees what is committed, and no more."""
        with self.con.cursor() as con:
            yield Warehouse(con)

    def create(self, table: Identifier, select: str, binds: Mapping[str, object] = {}) -> int:
        """Replace ``table`` by the rows of ``select``, with its comments; return the row count."""
        if self.kind(table) == VIEW:
            self.drop(table)
        self.rows(f"create or replace table {table} as {select}", binds)
        known = self.columns()
        for schema, name in {key[:2] for key in known if Identifier.of(*key[:2]) == table}:
            for statement in comment_statements(comments_for(schema, name, select, known), known):
                self.rows(statement)
        return self.count(table)

    def columns(self, database: str = "") -> dict[tuple[str, str, str], str]:
        """Map schema, table, column (empty: the table) to comment, in this or the named database."""
        where = "where not internal and database_name = coalesce(nullif($name, ''), current_database())"
        rows = self.rows(
            f"select schema_name, table_name, '', comment from duckdb_tables() {where} union all "
            f"select schema_name, table_name, column_name, c.comment from duckdb_columns() as c "
            f"semi join duckdb_tables() using (database_name, schema_name, table_name) {where}",
            {"name": database},
        )
        return {(schema, table, column): comment or "" for schema, table, column, comment in rows}

    def create_view(self, view: Identifier, files: str | Sequence[str]) -> int:
        """Replace ``view`` by the rows of Parquet files, or of a pattern; return the row count."""
        if self.kind(view) != VIEW:
            self.drop(view)
        paths = [files] if isinstance(files, str) else files
        # A view takes no bound values; the paths are made by this project.
        listed = ", ".join(map(literal, paths))
        self.rows(
            f"create or replace view {view} as from read_parquet([{listed}], hive_partitioning = false)"
        )
        return self.count(view)

    def files_of(self, view: Identifier) -> str:
        """Return the first file or pattern that a view of ``create_view`` reads; otherwise empty."""
        rows = self.rows(
            "select sql from duckdb_views() where database_name = current_database() "
            "and concat('\"', schema_name, '\".\"', view_name, '\"') = $name",
            {"name": str(view)},
        )
        match = re.search(r"read_parquet\(\D*?'((?:[^']|'')*)'", str(rows[0][0])) if rows else None
        return match[1].replace("''", "'") if match else ""

    def kind(self, relation: Identifier, database: str = "") -> str:
        """Return ``BASE TABLE`` or ``VIEW``; empty if this or the named database has neither."""
        rows = self.rows(
            "select table_type from information_schema.tables "
            "where table_catalog = coalesce(nullif($database, ''), current_database()) "
            "and concat('\"', table_schema, '\".\"', table_name, '\"') = $name",
            {"name": str(relation), "database": database},
        )
        return str(rows[0][0]) if rows else ""

    def drop(self, relation: Identifier) -> None:
        """Remove a table or a view if there is one."""
        if kind := self.kind(relation):
            self.rows(f"drop {'view' if kind == VIEW else 'table'} {relation}")

    def create_temporary(self, table: Identifier, select: str, binds: Mapping[str, object] = {}) -> None:
        """Replace a temporary table of this connection by the rows of ``select``."""
        self.rows(f"create or replace temporary table {table} as {select}", binds)

    def count(self, table: Identifier) -> int:
        """Count the rows of a table."""
        return int(self.one(f"select count(*) from {table}")[0])

    def one(self, sql: str, binds: Mapping[str, object] = {}) -> tuple:
        """Return the first row of a query that always has one."""
        rows = self.rows(sql, binds)
        if not rows:
            raise DataError(f"the query returned no row: {sql}")
        return rows[0]

    def rows(self, sql: str, binds: Mapping[str, object] = {}) -> list[tuple]:
        """Run a statement and return all its rows; an open result would block the connection."""
        return self.con.execute(sql, dict(binds)).fetchall()

    def arrow(self, sql: str, binds: Mapping[str, object] = {}) -> pa.Table:
        """Return the rows of a query as an Arrow table."""
        return self.con.sql(sql, params=dict(binds)).to_arrow_table()

    def batches(self, sql: str, binds: Mapping[str, object] = {}) -> pa.RecordBatchReader:
        """Return the rows of a query by Arrow batches; close the reader before anything else runs."""
        return self.con.sql(sql, params=dict(binds)).to_arrow_reader()

    def replace_rows(self, table: Identifier, key: Mapping[str, object], rows: pa.Table) -> None:
        """Delete the rows that match ``key`` and insert ``rows`` by column name."""
        where = " and ".join(f"{Identifier.of(name)} = ${name}" for name in key)
        self.rows(f"delete from {table} where {where}", key)
        if not rows.num_rows:  # no row has no columns either
            return
        before = self.count(table)
        with self.relation("incoming_rows", rows):
            self.rows(f"insert into {table} by name select * from incoming_rows")
        if self.count(table) - before != rows.num_rows:
            raise DataError(f"{table}: {rows.num_rows} rows were to be written but are missing")

    @contextmanager
    def relation(self, name: str, rows: pa.Table) -> Iterator[None]:
        """Let SQL read an Arrow table by ``name`` inside the ``with`` block."""
        self.con.register(name, rows)
        try:
            yield
        finally:
            self.con.unregister(name)
