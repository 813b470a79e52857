"""The schemas of the warehouse, and the tables that all experiments share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import duckdb

from dagster_project.settings import SQL_FOLDER
from dagster_project.warehouse.comments import Columns, comments_for
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.shape import Shape, shape_of
from dagster_project.warehouse.sql import Identifier, render
from dagster_project.warehouse.table_names import LEDGER, LEDGER_ROWS, VIEW

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
CONTACTS = ("decisions", "contacts")  # a view of the ledger, which excluded_users reads
CONTACTS_SQL = "decisions/contacts.sql"
ID_RULES = ("keyed_id",)  # how text ids become numbers: not for readers of a snapshot
USER_RULES = ("list_hash", "draw_of", "role_of")  # macros of sql/rules that read no tables
TABLE_RULES = ("excluded_users", "holdout_scores")


def create_schemas(db: Warehouse) -> None:
    """Create the schemas that are missing."""
    for schema in SCHEMAS:
        db.rows(f"create schema if not exists {Identifier.of(schema)}")


def create_shared_tables(db: Warehouse) -> None:
    """Create all schemas, and the tables and rules that all experiments share."""
    create_tables(db)
    create_contacts_and_rules(db)


@cache
def _shared_tables() -> dict[tuple[str, str], str]:
    """Map schema and table to the statement that creates the table."""
    files = sorted((SQL_FOLDER / "tables").glob("*.sql"))
    return {_schema_and_table(file.stem): file.read_text(encoding="utf-8") for file in files}


def _schema_and_table(stem: str) -> tuple[str, str]:
    schema, _, table = stem.partition(".")
    return schema, table


@cache
def declared_shape() -> Shape:
    """Return the shape of the shared tables of this version."""
    with duckdb.connect(":memory:") as con:
        db = Warehouse(con)
        create_tables(db)
        return shape_of(db)


@cache
def _declared_columns() -> Columns:
    """Map every shared table and column of this version to its comment."""
    with duckdb.connect(":memory:") as con:
        db = Warehouse(con)
        create_tables(db)
        columns = db.columns()
    tables = [comments_for(*name, sql, columns) for name, sql in _shared_tables().items()]
    return columns | {key: text for comments in tables for key, text in comments.items()}


def create_tables(db: Warehouse) -> None:
    """Create all schemas and shared tables."""
    create_schemas(db)
    for sql in _shared_tables().values():
        db.rows(sql)


def create_contacts_and_rules(db: Warehouse) -> None:
    """Create the view of contacts, which a rule reads, and all rules."""
    contacts = render(CONTACTS_SQL, treat_list=Identifier.of(*LEDGER))
    db.rows(f"create or replace view {Identifier.of(*CONTACTS)} as {contacts}")
    create_rules(db, ID_RULES + USER_RULES + TABLE_RULES)


def create_rules(db: Warehouse, names: Sequence[str] = USER_RULES + TABLE_RULES) -> None:
    """Create the macros of ``sql/rules``: roles, excluded users, and the scores behind thresholds.

    A published snapshot has them, too: the service decides by the rules that made the lists.
    """
    for name in names:
        db.rows(_rule(name))


def declared_here(db: Warehouse) -> Columns:
    """Return the columns that this version declares; the ledger's under the name of its table."""
    declared = _declared_columns()
    if db.kind(Identifier.of(*LEDGER)) != VIEW:
        return declared
    rows = {(*LEDGER_ROWS, k[2]): text for k, text in declared.items() if k[:2] == LEDGER}
    return {k: text for k, text in declared.items() if k[:2] != LEDGER} | rows


def rule_file(name: str) -> str:
    """Name the file of a rule, relative to ``sql/``."""
    return f"rules/{name}.sql"


@cache
def _rule(name: str) -> str:
    return (SQL_FOLDER / rule_file(name)).read_text(encoding="utf-8")
