"""Great Expectations on DuckDB: the one module that connects the two.

Great Expectations queries through SQLAlchemy and reads results after it has returned the connection; a
DuckDB result is invalid then. So this dialect reads every result at once. It uses the open connection of
the warehouse and its transaction: the checked rows are not yet visible to others. An error ends that
transaction, so no rule is checked after an error.

The import takes seconds, so only running checks import this module.
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

os.environ.setdefault(
    "GX_ANALYTICS_ENABLED", "false"
)  # set before the import, which would send usage data

import duckdb
import duckdb_engine
import great_expectations as gx
from great_expectations.core import validation_definition
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations import Expectation
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.registry import get_expectation_impl
from great_expectations.validator.v1_validator import Validator
from sqlalchemy.dialects import registry
from sqlalchemy.engine import cursor, default

from dagster_project.checks.findings import Finding
from dagster_project.checks.page_views import IndexPageView, PageView
from dagster_project.checks.pages import Checked, make_offline
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.opening import INTERRUPTED
from dagster_project.warehouse.sql import Identifier

SCHEME = "duckdb"
ABORTED = "Current transaction is aborted"  # DuckDB's message after an error
_open: ContextVar[Warehouse] = ContextVar("open_warehouse")
RESULT_FORMAT = {
    "result_format": "SUMMARY",
    "partial_unexpected_count": 1,
    "unexpected_index_column_names": ["user_id"],
    # The query for people to copy is off: it takes every "?" for a value, also one in a column's name.
    "return_unexpected_index_query": False,
}


class _Buffered(default.DefaultExecutionContext):
    """An execution context that reads the whole result as soon as the statement has run."""

    def post_exec(self) -> None:
        super().post_exec()
        if self.cursor is not None and self.cursor.description is not None:
            self.cursor_fetch_strategy = cursor.FullyBufferedCursorFetchStrategy(
                self.cursor, initial_buffer=self.cursor.fetchall()
            )


class _Borrowed(duckdb_engine.ConnectionWrapper):
    """A connection that its owner closes, not this dialect."""

    def close(self) -> None:
        pass


class BufferedDuckDB(duckdb_engine.Dialect):
    """duckdb-engine's dialect on the open warehouse's connection; it never ends the transaction."""

    execution_ctx_cls = _Buffered
    supports_statement_cache = False

    def connect(self, *_: Any, **__: Any) -> Any:
        """Return the connection of the warehouse that is being validated."""
        return _Borrowed(_open.get().con)

    def get_pk_constraint(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Return no key: duckdb-engine would query PostgreSQL's catalog, which is an error in DuckDB."""
        return {"constrained_columns": [], "name": None}

    def do_begin(self, connection: Any) -> None:
        """Do nothing: the transaction has begun."""

    def do_commit(self, connection: Any) -> None:
        """Do nothing: the code that opened the warehouse commits."""

    def do_rollback(self, connection: Any) -> None:
        """Do nothing: the code that opened the warehouse rolls back."""


registry.register(SCHEME, __name__, BufferedDuckDB.__name__)


class FewQueries(Validator):
    """A validator that queries the rows that break a rule only where some do.

    Great Expectations counts the unexpected values of all columns in one query, but needs two more
    for each rule to show examples of them: 2,400 for 600 features.
    """

    result_format: Any

    def _validate_expectation_configs(self, expectation_configs: Any, *args: Any, **kwargs: Any) -> Any:
        validate = super()._validate_expectation_configs
        wanted, self.result_format = self.result_format, {"result_format": "BOOLEAN_ONLY"}
        counted = validate(expectation_configs, *args, **kwargs)
        passed = {
            _key(each.expectation_config): _without_examples(each)
            for each in counted
            if each.success and _needs_all_rows(each.expectation_config)
        }
        self.result_format = wanted
        if any(_errors(each) for each in counted):
            return counted  # the transaction is aborted, so no query would be answered
        left = [config for config in expectation_configs if _key(config) not in passed]
        detailed = {_key(each.expectation_config): each for each in validate(left, *args, **kwargs)}
        return [{**passed, **detailed}[_key(config)] for config in expectation_configs]


def _needs_all_rows(configuration: Any) -> bool:
    """Tell whether an expectation is of each row, without exception."""
    kind = get_expectation_impl(configuration.type)
    return issubclass(kind, ColumnMapExpectation) and configuration.kwargs.get("mostly", 1) == 1


def _without_examples(result: Any) -> Any:
    """Complete the result of an expectation that all rows meet."""
    result.result = {"unexpected_count": 0, "unexpected_percent": 0.0, "partial_unexpected_list": []}
    return result


validation_definition.Validator = FewQueries


@dataclass(frozen=True)
class Rule:
    """An expectation, its check, and the requirement in words."""

    check: str
    expectation: Expectation
    must: str

    @property
    def column(self) -> str:
        """The column of the expectation; empty for a table."""
        named = self.expectation.configuration.kwargs
        return str(named.get("column") or ", ".join(named.get("column_list", ())))


@dataclass(frozen=True)
class Batch:
    """The rows that rules are checked on: a table, or a query over one.

    ``few``: the query is expensive and gives few rows; it runs once, not once per rule.
    """

    name: str
    table: tuple[str, str] | None = None
    query: str = ""
    few: bool = False
    rules: Sequence[Rule] = field(default_factory=tuple)


def validate(db: Warehouse, subject: str, batches: Sequence[Batch], docs: Path) -> list[Finding]:
    """Check every rule inside DuckDB; no rows are copied.

    Args:
        db: the warehouse.
        subject: the checked layer in messages: ``<experiment>/<layer>``.
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
                with _batch_table(db, batch) as table:
                    results = _run(context, source, batch, table).results
                    checked.append(Checked(batch.name, list(_findings(subject, batch, results))))
                if any(_errors(result) for result in results):
                    break
        _write_docs(context, docs, subject, checked)
        source.get_execution_engine().engine.dispose()
    finally:
        _open.reset(token)
    return [finding for batch in checked for finding in batch.findings]


@contextmanager
def _batch_table(db: Warehouse, batch: Batch) -> Iterator[tuple[str, str]]:
    """Yield schema and table of a batch; a query becomes a view or a table, which is dropped afterwards.

    Great Expectations would run a query asset without any limit to learn its columns.
    """
    if batch.table:
        yield batch.table
        return
    name = "quality", f"checked_{batch.name.replace(' ', '_')}"
    kind = "table" if batch.few else "view"
    db.rows(f"create or replace {kind} {Identifier.of(*name)} as {batch.query}")
    yield name
    with suppress(duckdb.TransactionException):  # after an error, whose rollback drops it, too
        db.rows(f"drop {kind} {Identifier.of(*name)}")


def _run(context: Any, source: Any, batch: Batch, schema_and_table: tuple[str, str]) -> Any:
    schema, table = schema_and_table
    asset = source.add_table_asset(name=batch.name, schema_name=schema, table_name=table)
    # All at once: to add one expectation to a suite writes the whole suite anew.
    different = {_key(rule.expectation.configuration): rule.expectation for rule in batch.rules}
    suite = context.suites.add(gx.ExpectationSuite(batch.name, expectations=list(different.values())))
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
            continue  # it was not checked, because another rule had raised an error
        value = _observed(result)
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
    """Return the identity of an expectation: of two equal ones, a suite needs only one."""
    named = {k: v for k, v in configuration.kwargs.items() if k != "batch_id"}
    return json.dumps([configuration.type, named], sort_keys=True, default=str)


def _observed(result: Any) -> str:
    """Return the first unexpected value, or the figure that was compared."""
    unexpected = result.result.get("partial_unexpected_list")
    if unexpected:
        return str(unexpected[0])
    observed = result.result.get("observed_value", "")
    if isinstance(observed, list):  # a set without an order
        return ", ".join(sorted(map(str, observed)))
    return f"{observed:.6g}" if isinstance(observed, float) else str(observed)


def _message(subject: str, rule: Rule, value: str, result: Any) -> str:
    if _errors(result):
        reason = "; ".join(_reason(error) for error in _errors(result))
        return f"{subject}: column '{rule.column}' cannot be checked: {reason}"
    what = f"column '{rule.column}'" if rule.column else "the table"
    count = result.result.get("unexpected_count")
    if count:
        rows = result.result.get("partial_unexpected_index_list") or [{}]
        user = f" at user_id {rows[0]['user_id']}" if "user_id" in rows[0] else ""
        more = f" and {count - 1} more rows" if count > 1 else ""
        return f"{subject}: {what} holds {value}{user}{more}; it must {rule.must}"
    return f"{subject}: {what}: found {value}; it must {rule.must}"


def _errors(result: Any) -> list[dict[str, Any]]:
    """Return the exceptions that were raised while a rule was checked."""
    info = result.exception_info or {}
    several = [info] if "raised_exception" in info else [e for e in info.values() if isinstance(e, dict)]
    return [error for error in several if error.get("raised_exception")]


def _reason(error: Mapping[str, Any]) -> str:
    """Return an error's message; without a message its type, the first one in the traceback."""
    lines = str(error.get("exception_traceback") or "").splitlines()
    types = (line for line in lines if line and not line.startswith((" ", "Traceback")))
    return str(error.get("exception_message") or next(types, "an error without a message"))


def _write_docs(context: Any, docs: Path, subject: str, checked: Sequence[Checked]) -> None:
    """Build the pages in a temporary folder, then replace the old folder."""
    aside = docs.with_name(f".{docs.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    for name in list(context.get_config().data_docs_sites or {}):
        context.delete_data_docs_site(name)
    context.add_data_docs_site(
        site_name="docs",
        site_config={
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "site_index_builder": {
                "class_name": "DefaultSiteIndexBuilder",
                "view": _view(IndexPageView),
            },
            "site_section_builders": {
                "expectations": {"view": _view(PageView)},
                "validations": {"view": _view(PageView)},
                "profiling": "none",
            },
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


def _view(kind: type) -> dict[str, str]:
    """Return a page view as a site's configuration names it."""
    return {"module_name": kind.__module__, "class_name": kind.__name__}
