"""The data dictionary: every table and column of the published snapshot, by its comments.

``python -m dagster_project.commands.dictionary`` writes docs/tables.md from the published snapshot.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import duckdb

from dagster_project.reporting.markdown import markdown_table
from dagster_project.settings import REPOSITORY, Settings
from dagster_project.warehouse.schema import SCHEMAS
from uplift_core.artifacts.files import replace_file
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer
from uplift_core.errors import UpliftError

FILE = REPOSITORY / "docs" / "tables.md"
SHOWN = ("simulated", "hillstrom")  # the built-in experiments that every user can run
INTRODUCTION = """# The tables

The tables of the published snapshot (`make sql`). The database has the same texts: `comment` of
`duckdb_tables()` and `duckdb_columns()`. They come from the SQL files; `make dictionary` writes them
here.

Tables of one experiment are named after it, `<layer>.<experiment>`; this page shows those of
{experiments}. All other tables hold every experiment, identified by the column
`experiment`. The warehouse, which only the batch opens, also has the schema `training` (bins, cells
and their predictions) and outcomes of single users: `decisions.outcomes`, as they arrived,
and `decisions.measured`, on measured lists.

Tables marked as personal have rows about single users; `make erase` goes through them. All others hold
sums, figures and names.
"""
PERSONAL = "Personal: its rows are about single users."

Tables = Mapping[tuple[str, str], tuple[str, list[tuple[str, str, str]]]]
"""Map schema and table to the table's comment, and each column's name, type and comment."""


def read_tables(con: duckdb.DuckDBPyConnection) -> Tables:
    """Read all tables of a database with their columns in order."""
    tables: dict[tuple[str, str], tuple[str, list[tuple[str, str, str]]]] = {
        (schema, table): (comment or "", [])
        for schema, table, comment in con.execute(
            "select schema_name, table_name, comment from duckdb_tables() where not internal"
        ).fetchall()
    }
    for schema, table, column, type_, text in con.execute(
        "select schema_name, table_name, column_name, data_type, coalesce(comment, '') "
        "from duckdb_columns() where not internal order by schema_name, table_name, column_index"
    ).fetchall():
        if (schema, table) in tables:
            tables[schema, table][1].append((column, type_, text))
    return tables


def dictionary(tables: Tables) -> str:
    """Format the tables as Markdown, by layer."""
    parts = [INTRODUCTION.format(experiments=" and ".join(f"`{name}`" for name in SHOWN))]
    for key in sorted(tables, key=lambda key: (SCHEMAS.index(key[0]), key[1])):
        comment, columns = tables[key]
        heading = f"## {'.'.join(key)}"
        rows = [(f"`{name}`", type_.lower(), text) for name, type_, text in columns]
        told = [PERSONAL] if any(name == "user_id" for name, *_ in columns) else []
        table = markdown_table(["column", "type", ""], rows)
        parts.append("\n\n".join([heading, comment, *told, table]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def main() -> None:
    """Write the dictionary from the current snapshot.

    Raises:
        UpliftError: one of the shown experiments is not published.
    """
    home = Home(Settings().home)
    pointer = read_pointer(home.published)
    missing = [name for name in SHOWN if name not in pointer.experiments]
    if missing:
        raise UpliftError(f"{', '.join(missing)}: not published; make run publishes all shown ones")
    with duckdb.connect(str(home.published / pointer.file), read_only=True) as con:
        tables = read_tables(con)
    others = {*pointer.experiments} - {*SHOWN}
    shown = {
        key: table
        for key, table in tables.items()
        if not any(key[1] == name or key[1].startswith(f"{name}_") for name in others)
    }
    replace_file(FILE, dictionary(shown).encode())


if __name__ == "__main__":
    try:
        main()
    except UpliftError as error:
        sys.exit(f"error: {error}")
