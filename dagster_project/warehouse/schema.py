"""The schemas of the warehouse, and the tables that all experiments share."""

from __future__ import annotations

from functools import cache

import duckdb

from dagster_project.settings import SQL_FOLDER
from dagster_project.warehouse.comments import Columns, comments_for
from dagster_project.warehouse.connection import Warehouse, _create_rules, create_tables
from dagster_project.warehouse.sql import Identifier

SCHEMAS = (
    "raw",
    "features",
    "assignment",
    "training",
    "scores",
    "evaluation",
    "models",
    "decisions",
    "quality",
)


def _create_schemas(db: Warehouse) -> None:
    for schema in SCHEMAS:
        db.rows(f"create schema if not exists {Identifier.of(schema)}")


def create_shared_tables(db: Warehouse) -> None:
    """All schemas, and the tables and rules that all experiments share."""
    create_tables(db)
    _create_rules(db)


@cache
def _shared_tables() -> dict[tuple[str, str], str]:
    """Schema and table -> the statement that creates it."""
    files = sorted((SQL_FOLDER / "tables").glob("*.sql"))
    return {_place(file.stem): file.read_text(encoding="utf-8") for file in files}


def _place(stem: str) -> tuple[str, str]:
    schema, _, table = stem.partition(".")
    return schema, table


@cache
def _declared_columns() -> Columns:
    """Every shared table and column, as this version declares them, with its comment."""
    with duckdb.connect(":memory:") as con:
        db = Warehouse(con)
        create_shared_tables(db)
        found = db.columns()
    said = [comments_for(*place, sql, found) for place, sql in _shared_tables().items()]
    return found | {key: text for comments in said for key, text in comments.items()}
