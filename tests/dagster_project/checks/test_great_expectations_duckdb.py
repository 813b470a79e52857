"""Great Expectations on DuckDB: its findings do not depend on a column's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from great_expectations import expectations as gxe
from sqlalchemy.engine import default

from dagster_project.checks import great_expectations_duckdb as expectations
from dagster_project.checks.findings import Finding
from dagster_project.checks.great_expectations_duckdb import Batch, Rule, validate
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier

NAMES = ("gekauft?", "??", "50 %", "%(x)s", "a:b", ":user_id", "$1", "it's", 'said "no"', "Erlös", "{x}")


def findings_of(db: Warehouse, docs: Path, *names: str) -> list[Finding]:
    """Check every kind of column rule on all ``names`` of one table."""
    rules = [
        Rule("outcomes", rule, "be 0 or 1")
        for name in names
        for rule in (
            gxe.ExpectColumnToExist(column=name),
            gxe.ExpectColumnValuesToNotBeNull(column=name),
            gxe.ExpectColumnValuesToBeInSet(column=name, value_set=[0, 1]),
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, max_value=1),
            gxe.ExpectColumnMeanToBeBetween(column=name, min_value=0, max_value=1),
        )
    ]
    return validate(db, "shop/raw", [Batch("raw", table=("raw", "shop"), rules=rules)], docs)


def with_columns(db: Warehouse, value: str) -> None:
    columns = ", ".join(f"{value} as {Identifier.of(name)}" for name in NAMES)
    db.rows(f"create table raw.shop as select range as user_id, {columns} from range(10)")


def test_columns_of_any_name_pass(db: Warehouse, tmp_path: Path) -> None:
    with_columns(db, "range % 2")
    assert [f.message for f in findings_of(db, tmp_path / "docs", *NAMES) if not f.passed] == []


def test_what_is_wrong_is_told_of_columns_of_any_name(db: Warehouse, tmp_path: Path) -> None:
    with_columns(db, "case when range = 7 then 2 else range % 2 end")
    failed = [f for f in findings_of(db, tmp_path / "docs", *NAMES) if not f.passed]
    assert [f.message for f in failed] == [
        f"shop/raw: column '{name}' holds 2 at user_id 7; it must be 0 or 1"
        for name in NAMES
        for _ in ("in set", "between")
    ]


def test_a_check_that_cannot_be_made_says_why(
    db: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finding has a reason even if the error has no message."""
    with_columns(db, "range % 2")
    execute = default.DefaultDialect.do_execute

    def failing(self: object, cursor: object, statement: str, *rest: object) -> None:
        if "Erlös" in statement:
            raise StopIteration
        execute(self, cursor, statement, *rest)

    monkeypatch.setattr(expectations.BufferedDuckDB, "do_execute", failing)
    (wrong,) = (
        f for f in findings_of(db, tmp_path / "docs", "Erlös") if f.rule == "column_values_to_be_in_set"
    )
    assert not wrong.passed
    assert "column 'Erlös' cannot be checked: StopIteration" in wrong.message


def test_rows_that_nobody_else_sees_yet_are_checked_and_their_transaction_goes_on(
    db: Warehouse, tmp_path: Path
) -> None:
    db.rows("begin")
    with_columns(db, "case when range = 7 then 2 else 0 end")
    failed = findings_of(db, tmp_path / "docs", "Erlös")
    assert [f.message for f in failed if not f.passed] == [
        "shop/raw: column 'Erlös' holds 2 at user_id 7; it must be 0 or 1"
    ] * 2
    assert db.count(Identifier.of("raw", "shop")) == 10
    db.rows("rollback")
    assert db.kind(Identifier.of("raw", "shop")) == ""


def test_after_the_error_of_a_rule_nothing_is_asked_and_the_error_refuses(
    db: Warehouse, tmp_path: Path
) -> None:
    """An error ends DuckDB's transaction; every later rule would only report that."""
    db.rows("begin")
    with_columns(db, "'often'")
    mean = gxe.ExpectColumnMeanToBeBetween(column="??", min_value=0, max_value=1, severity="warning")
    present = gxe.ExpectColumnValuesToNotBeNull(column="{x}")
    batches = [
        Batch("first", table=("raw", "shop"), rules=[Rule("outcomes", mean, "be 0 or 1")]),
        Batch("second", query="from raw.shop", rules=[Rule("keys", present, "exist")]),
    ]
    (wrong,) = validate(db, "shop/raw", batches, tmp_path / "docs")
    assert wrong.refuses
    assert "column '??' cannot be checked: " in wrong.message
    assert "aborted" not in wrong.message


def test_queries_do_not_grow_with_the_columns_that_pass(
    db: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column whose values break a rule still costs queries: its message names a row."""
    with_columns(db, "range % 2")
    db.rows('update raw.shop set "??" = 2 where user_id = 7')
    execute, statements = default.DefaultDialect.do_execute, []

    def counting(self: object, cursor: object, statement: str, *rest: object) -> None:
        statements.append(statement)
        execute(self, cursor, statement, *rest)

    def queries(*names: str) -> int:
        statements.clear()
        rules = [
            Rule("outcomes", rule, "be 0 or 1")
            for name in names
            for rule in (
                gxe.ExpectColumnValuesToNotBeNull(column=name),
                gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, max_value=1),
            )
        ]
        batch = Batch("raw", table=("raw", "shop"), rules=rules)
        failed = [
            f.message for f in validate(db, "shop/raw", [batch], tmp_path / "docs") if not f.passed
        ]
        wrong = ["shop/raw: column '??' holds 2 at user_id 7; it must be 0 or 1"]
        assert failed == wrong * ("??" in names)
        return len(statements)

    monkeypatch.setattr(expectations.BufferedDuckDB, "do_execute", counting)
    assert queries("$1") == queries("$1", "gekauft?", "a:b", "Erlös", "{x}")
    assert queries("$1", "??") > queries("$1", "a:b")
