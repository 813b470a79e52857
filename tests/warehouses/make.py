"""Store a home's warehouse as files: ``python -m tests.warehouses.make WAREHOUSE FOLDER``.

``FOLDER`` gets ``schema.sql``, which creates the shared tables as they are in the warehouse, and one
Parquet file for each of them that has rows. README.md says which homes were stored.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

SCHEMA = "schema.sql"
SHARED = """
select schema_name, table_name, sql from duckdb_tables()
where not internal and schema_name || '.' || table_name in (select unnest($names)) order by all
"""


def store(warehouse: Path, folder: Path, tables: list[str]) -> None:
    """Write the tables of a DuckDB file into a folder."""
    folder.mkdir(parents=True)
    with duckdb.connect(str(warehouse), read_only=True) as con:
        con.execute("set threads = 1")
        found = con.execute(SHARED, {"names": tables}).fetchall()
        schemas = [f"create schema {schema};" for schema in sorted({row[0] for row in found})]
        text = "\n".join([*schemas, *(sql for *_, sql in found)])
        (folder / SCHEMA).write_text(text + "\n", encoding="utf-8")
        for schema, table, _ in found:
            (rows,) = con.execute(f"select count(*) from {schema}.{table}").fetchone()
            if rows:
                con.execute(
                    f"copy (from {schema}.{table} order by all) to $path "
                    "(format parquet, compression zstd, compression_level 19)",
                    {"path": str(folder / f"{schema}.{table}.parquet")},
                )


def load(folder: Path, warehouse: Path) -> None:
    """Make a DuckDB file of the tables in a folder."""
    with duckdb.connect(str(warehouse)) as con:
        con.execute((folder / SCHEMA).read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.parquet")):
            con.execute(f"insert into {path.stem} by name from read_parquet($path)", {"path": str(path)})


if __name__ == "__main__":
    declared = Path(__file__).parents[2] / "sql" / "tables"
    store(Path(sys.argv[1]), Path(sys.argv[2]), [path.stem for path in declared.glob("*.sql")])
