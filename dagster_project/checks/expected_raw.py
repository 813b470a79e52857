"""The expectations of ``raw.<experiment>``: the declared file, with values as declared.

The declaration adds expectations for one experiment: ``[columns]``, ``implies``, ``published``.
"""

from __future__ import annotations

from collections.abc import Iterator

from great_expectations import expectations as gxe

from dagster_project.checks.great_expectations_duckdb import Batch, Rule
from dagster_project.checks.shared_rules import CORRECT, between, finite, known_users, room, unique
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.experiment.design import Outcome


def raw_suite(db: Warehouse, experiment: BatchExperiment) -> list[Batch]:
    """Expect ids, arms and outcomes as declared, columns in range, rows and rates as published."""
    types = {str(row[0]): str(row[1]) for row in db.rows(f"describe {experiment.tables.raw}")}
    rules = [
        *_needed_columns(experiment),
        Rule("keys", gxe.ExpectTableRowCountToBeBetween(min_value=1), "hold at least one row"),
        known_users(),
        *_arms(experiment, text=types.get(experiment.declaration.arm_column) == "VARCHAR"),
        *(rule for outcome in experiment.declaration.outcomes for rule in _outcome(outcome)),
        *_declared_columns(experiment),
        *_published(experiment),
    ]
    known = [rule for rule in rules if rule.check == "schema" or rule.column in {*types, ""}]
    return [
        Batch("raw", table=("raw", experiment.name), rules=known),
        unique("raw", str(experiment.tables.raw), ["user_id"], CORRECT),
        *_implications(experiment, set(types)),
        *_counts(experiment, set(types)),
    ]


def _needed_columns(experiment: BatchExperiment) -> Iterator[Rule]:
    declaration = experiment.declaration
    needed = {"user_id", declaration.arm_column, *experiment.features_sql.raw_columns}
    needed |= {outcome.column for outcome in declaration.outcomes} | {*declaration.columns}
    needed |= {declaration.assigned_at} - {""}
    for column in sorted(needed):
        yield Rule("schema", gxe.ExpectColumnToExist(column=column), f"exist; {CORRECT}")


def _arms(experiment: BatchExperiment, *, text: bool) -> Iterator[Rule]:
    column = experiment.declaration.arm_column
    values = [str(arm.value) if text else arm.value for arm in experiment.declaration.arms]
    must = f"be one of {values}; {CORRECT}"
    yield Rule("arms", gxe.ExpectColumnValuesToNotBeNull(column=column), must)
    yield Rule("arms", gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values), must)


def _outcome(outcome: Outcome) -> Iterator[Rule]:
    if outcome.kind == "binary":
        must = f"be 0 or 1; {CORRECT}"
        yield Rule("outcomes", gxe.ExpectColumnValuesToNotBeNull(column=outcome.column), must)
        yield Rule(
            "outcomes",
            gxe.ExpectColumnValuesToBeInSet(column=outcome.column, value_set=[0, 1]),
            must,
        )
    else:
        yield from finite(outcome.column, check="outcomes")
    if outcome.kind == "count":
        must = f"be {outcome.must_be}; {CORRECT}"
        yield Rule("outcomes", between(outcome.column, 0.0, None), must)


def _declared_columns(experiment: BatchExperiment) -> Iterator[Rule]:
    for column, rule in experiment.declaration.columns.items():
        must = f"never be missing; {CORRECT}"
        yield Rule("columns", gxe.ExpectColumnValuesToNotBeNull(column=column), must)
        if rule.levels is not None:
            levels = list(rule.levels)
            expected = gxe.ExpectColumnValuesToBeInSet(column=column, value_set=levels)
            yield Rule("columns", expected, f"be one of {levels}; {CORRECT}")
        else:
            bounds = room(rule.low, rule.high)
            yield Rule("columns", between(column, rule.low, rule.high), f"be {bounds}; {CORRECT}")


def _published(experiment: BatchExperiment) -> Iterator[Rule]:
    published = experiment.declaration.published
    if published is None:
        return
    must = f"be {published.rows:,}, as published; take the published file"
    expected = gxe.ExpectTableRowCountToEqual(value=published.rows)
    yield Rule("published", expected, f"have rows that {must}")
    for column, text in published.means.items():
        half = 0.5 * 10.0 ** -len(text.partition(".")[2])
        expected = gxe.ExpectColumnMeanToBeBetween(
            column=column, min_value=float(text) - half, max_value=float(text) + half
        )
        yield Rule("published", expected, f"have the published mean {text}; take the published file")


def _implications(experiment: BatchExperiment, present: set[str]) -> Iterator[Batch]:
    column = {outcome.name: outcome.column for outcome in experiment.declaration.outcomes}
    for outcome in experiment.declaration.outcomes:
        if outcome.implies and {outcome.column, column[outcome.implies]} <= present:
            implied, implying = (Identifier.of(c) for c in (column[outcome.implies], outcome.column))
            rule = Rule(
                "outcomes",
                gxe.ExpectColumnValuesToBeInSet(column=column[outcome.implies], value_set=[1]),
                f"be 1 where '{outcome.name}' is, which implies it; {CORRECT}",
            )
            query = f"select user_id, {implied} from {experiment.tables.raw} where {implying} = 1"
            yield Batch(f"{outcome.name} implies {outcome.implies}", query=query, rules=[rule])


def _counts(experiment: BatchExperiment, present: set[str]) -> Iterator[Batch]:
    for outcome in experiment.declaration.outcomes:
        if outcome.kind == "count" and outcome.column in present:
            column, raw = Identifier.of(outcome.column), experiment.tables.raw
            query = f"select user_id, {column} from {raw} where {column} <> floor({column})"
            expected = gxe.ExpectColumnValuesToBeNull(column=outcome.column)
            rule = Rule("outcomes", expected, f"be {outcome.must_be}; {CORRECT}")
            yield Batch(f"fractions of {outcome.name}", query=query, rules=[rule])
