"""Great Expectations on DuckDB, in place: the one module that knows how the two are brought together.

Great Expectations asks through SQLAlchemy and reads results after it has given the connection back;
DuckDB's open results die with theirs. The dialect here reads every result at once, on the connection of
the warehouse that is open and inside its transaction: what is checked is not yet visible to others. An
error ends that transaction, so nothing is asked after one.

Importing this takes seconds: only checks do, when they run.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # before its import: it would call home

import duckdb
import duckdb_engine
import great_expectations as gx
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations import Expectation
from sqlalchemy.dialects import registry
from sqlalchemy.engine import cursor, default

from dagster_project.checks.findings import Finding
from dagster_project.checks.pages import Checked, make_offline
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.opening import INTERRUPTED
from dagster_project.warehouse.sql import Identifier

SCHEME = "duckdb"
ABORTED = "Current transaction is aborted"  # as DuckDB says after an error
_open: ContextVar[Warehouse] = ContextVar("open_warehouse")
RESULT_FORMAT = {
    "result_format": "SUMMARY",
    "partial_unexpected_count": 1,
    "unexpected_index_column_names": ["user_id"],
    # A query for people to copy, in which it takes every "?" for a value, that of a column's name, too.
    "return_unexpected_index_query": False,
}


class _Buffered(default.DefaultExecutionContext):
    """Reads a result to its end as soon as the statement has run."""

    def post_exec(self) -> None:
        super().post_exec()
        if self.cursor is not None and self.cursor.description is not None:
            self.cursor_fetch_strategy = cursor.FullyBufferedCursorFetchStrategy(
                self.cursor, initial_buffer=self.cursor.fetchall()
            )


class _Borrowed(duckdb_engine.ConnectionWrapper):
    """A connection that others close."""

    def close(self) -> None:
        pass


class BufferedDuckDB(duckdb_engine.Dialect):
    """duckdb-engine's dialect on the open warehouse's connection; its transaction is left alone."""

    execution_ctx_cls = _Buffered
    supports_statement_cache = False

    def connect(self, *_: Any, **__: Any) -> Any:
        """The connection of the warehouse that is being validated."""
        return _Borrowed(_open.get().con)

    def get_pk_constraint(self, *_: Any, **__: Any) -> dict[str, Any]:
        """None is told: duckdb-engine would ask PostgreSQL's catalog for it, an error in DuckDB."""
        return {"constrained_columns": [], "name": None}

    def do_begin(self, connection: Any) -> None:
        """It has begun."""

    def do_commit(self, connection: Any) -> None:
        """Whoever opened the warehouse does."""

    def do_rollback(self, connection: Any) -> None:
        """Likewise."""


registry.register(SCHEME, __name__, BufferedDuckDB.__name__)


@dataclass(frozen=True)
class Rule:
    """An expectation, the check that it belongs to, and what it asks in words."""

    check: str
    expectation: Expectation
    must: str

    @property
    def column(self) -> str:
        """The column that it is about; empty for a table."""
        named = self.expectation.configuration.kwargs
        return str(named.get("column") or ", ".join(named.get("column_list", ())))


@dataclass(frozen=True)
class Batch:
    """Rows that rules are asked of: a table, or a query over one.

    ``few``: the query is dear and has few rows; it is run once, not anew for every question.
    """

    name: str
    table: tuple[str, str] | None = None
    query: str = ""
    few: bool = False
    rules: Sequence[Rule] = field(default_factory=tuple)


def validate(db: Warehouse, subject: str, batches: Sequence[Batch], docs: Path) -> list[Finding]:
    """Ask every rule, inside DuckDB; rows stay where they are.

    Args:
        db: the warehouse.
        subject: what is checked, for messages: ``<experiment>/<layer>``.
        batches: rows and rules.
        docs: folder of the page with all results; replaced.
    """
    token = _open.set(db)
    try:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        source = context.data_sources.add_sql(
            "warehouse", connection_string=f"{SCHEME}:///warehouse", create_temp_table=False
        )
        checked = []
        for batch in batches:
            if batch.rules:
                with _place(db, batch) as place:
                    results = _run(context, source, batch, place).results
                    checked.append(Checked(batch.name, list(_findings(subject, batch, results))))
                if any(_errors(result) for result in results):
                    break
        _write_docs(context, docs, subject, checked)
        source.get_execution_engine().engine.dispose()
    finally:
        _open.reset(token)
    return [finding for batch in checked for finding in batch.findings]


@contextmanager
def _place(db: Warehouse, batch: Batch) -> Iterator[tuple[str, str]]:
    """Schema and table of a batch; a query becomes a view or a table for a while.

    Great Expectations would run a query asset without any limit to learn its columns.
    """
    if batch.table:
        yield batch.table
        return
    place = "quality", f"checked_{batch.name.replace(' ', '_')}"
    kind = "table" if batch.few else "view"
    db.rows(f"create or replace {kind} {Identifier.of(*place)} as {batch.query}")
    yield place
    with suppress(duckdb.TransactionException):  # after an error, which undoes this, too
        db.rows(f"drop {kind} {Identifier.of(*place)}")


def _run(context: Any, source: Any, batch: Batch, place: tuple[str, str]) -> Any:
    schema, table = place
    asset = source.add_table_asset(name=batch.name, schema_name=schema, table_name=table)
    suite = context.suites.add(gx.ExpectationSuite(name=batch.name))
    for rule in batch.rules:
        suite.add_expectation(rule.expectation)
    validation = gx.ValidationDefinition(
        name=batch.name, data=asset.add_batch_definition("all"), suite=suite
    )
    return context.validation_definitions.add(validation).run(result_format=RESULT_FORMAT)


def _findings(subject: str, batch: Batch, results: Sequence[Any]) -> Iterator[Finding]:
    by_rule = {_key(result.expectation_config): result for result in results}
    for rule in batch.rules:
        result = by_rule[_key(rule.expectation.configuration)]
        errors = [_reason(error) for error in _errors(result)]
        if any(INTERRUPTED in error for error in errors):
            raise KeyboardInterrupt
        if errors and all(ABORTED in error for error in errors):
            continue  # it was not asked any more, after the error of another rule
        value = _seen(result)
        yield Finding(
            check=rule.check,
            rule=result.expectation_config.type.removeprefix("expect_"),
            column=rule.column,
            value=value,
            message="" if result.success else _message(subject, rule, value, result),
            passed=bool(result.success),
            warn=rule.expectation.severity == "warning" and not errors,
        )


def _key(configuration: Any) -> str:
    """What makes an expectation itself: a suite keeps one of two equal ones."""
    named = {k: v for k, v in configuration.kwargs.items() if k != "batch_id"}
    return json.dumps([configuration.type, named], sort_keys=True, default=str)


def _seen(result: Any) -> str:
    """What was found: the first value that is not as expected, or the figure that was compared."""
    unexpected = result.result.get("partial_unexpected_list")
    if unexpected:
        return str(unexpected[0])
    observed = result.result.get("observed_value", "")
    if isinstance(observed, list):  # of a set, in no order
        return ", ".join(sorted(map(str, observed)))
    return f"{observed:.6g}" if isinstance(observed, float) else str(observed)


def _message(subject: str, rule: Rule, value: str, result: Any) -> str:
    if _errors(result):
        reason = "; ".join(_reason(error) for error in _errors(result))
        return f"{subject}: column '{rule.column}' cannot be checked: {reason}"
    what = f"column '{rule.column}'" if rule.column else "the table"
    count = result.result.get("unexpected_count")
    if count:
        places = result.result.get("partial_unexpected_index_list") or [{}]
        user = f" at user_id {places[0]['user_id']}" if "user_id" in places[0] else ""
        more = f" and {count - 1} more rows" if count > 1 else ""
        return f"{subject}: {what} holds {value}{user}{more}; it must {rule.must}"
    return f"{subject}: {what}: found {value}; it must {rule.must}"


def _errors(result: Any) -> list[dict[str, Any]]:
    """What was raised while a rule was asked."""
    info = result.exception_info or {}
    several = [info] if "raised_exception" in info else [e for e in info.values() if isinstance(e, dict)]
    return [error for error in several if error.get("raised_exception")]


def _reason(error: Mapping[str, Any]) -> str:
    """What an error says; of one without words its type, the first that its traceback names."""
    lines = str(error.get("exception_traceback") or "").splitlines()
    types = (line for line in lines if line and not line.startswith((" ", "Traceback")))
    return str(error.get("exception_message") or next(types, "an error without words"))


def _write_docs(context: Any, docs: Path, subject: str, checked: Sequence[Checked]) -> None:
    """Build the page aside, then put it in the old one's place."""
    aside = docs.with_name(f".{docs.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    for name in list(context.get_config().data_docs_sites or {}):
        context.delete_data_docs_site(name)
    context.add_data_docs_site(
        site_name="docs",
        site_config={
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(aside.resolve()),
            },
        },
    )
    context.build_data_docs()
    make_offline(aside, subject, checked)
    shutil.rmtree(docs, ignore_errors=True)
    docs.parent.mkdir(parents=True, exist_ok=True)
    aside.replace(docs)
