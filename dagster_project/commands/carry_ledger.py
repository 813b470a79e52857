"""Carry the ledger of an earlier warehouse into a new one: ``make carry-ledger FROM=old.duckdb``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from uplift_core.errors import UpliftError


def main(arguments: list[str] | None = None) -> int:
    """Carry the ledger and print the row counts; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="uplift carry-ledger",
        description="Carry the ledger of an earlier warehouse into a new one.",
    )
    parser.add_argument("source", help="the earlier warehouse, or a published snapshot")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="TABLE",
        help="leave a table behind, such as decisions.suppressions; repeatable",
    )
    chosen = parser.parse_args(arguments)
    # DuckDB and the SQL parser take a second to import, so --help is answered first.
    from dagster_project.commands.carrying import carry_ledger  # noqa: PLC0415

    carry_ledger(Path(chosen.source), chosen.without)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UpliftError as error:
        sys.exit(f"error: {error}")
