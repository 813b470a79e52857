"""The expectations of every table, built from the experiment's declaration.

There is one builder per layer, so a new experiment has its suites without extra code. The declaration
adds expectations for one experiment: ``[columns]``, ``[features]``, ``implies``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from great_expectations import expectations as gxe
from sqlglot import exp

from dagster_project.checks.great_expectations_duckdb import Batch, Rule
from dagster_project.decisions.records import TREAT_LIST
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import SCORES
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.table_names import UserTables
from uplift_core.experiment.design import Outcome

DECISIONS = ["treat", "no_treat", "holdout", "explore", "suppressed"]
CORRECT = "correct the file or the declaration"


def raw_suite(db: Warehouse, experiment: BatchExperiment) -> list[Batch]:
    """Expect ids, arms and outcomes as declared, columns in range, rows and rates as published."""
    types = {str(row[0]): str(row[1]) for row in db.rows(f"describe {experiment.tables.raw}")}
    rules = [
        *_needed_columns(experiment),
        Rule("keys", gxe.ExpectTableRowCountToBeBetween(min_value=1), "hold at least one row"),
        _known_users(),
        *_arms(experiment, text=types.get(experiment.declaration.arm_column) == "VARCHAR"),
        *(rule for outcome in experiment.declaration.outcomes for rule in _outcome(outcome)),
        *_declared_columns(experiment),
        *_published(experiment),
    ]
    known = [rule for rule in rules if rule.check == "schema" or rule.column in {*types, ""}]
    return [
        Batch("raw", table=("raw", experiment.name), rules=known),
        _unique("raw", str(experiment.tables.raw), ["user_id"], CORRECT),
        *_implications(experiment, set(types)),
        *_counts(experiment, set(types)),
    ]


def features_suite(
    db: Warehouse, experiment: BatchExperiment, of: UserTables | None = None
) -> list[Batch]:
    """Expect one row per user, finite numbers in declared ranges, no more missing than declared."""
    of = of or experiment.tables.users
    names = [str(row[0]) for row in db.rows(f"describe {of.features}")][1:]
    users = db.count(of.raw)
    keys = [
        Rule(
            "keys",
            gxe.ExpectTableRowCountToEqual(value=users),
            f"have one row for each of the {users} users; correct features.sql",
        ),
        _known_users(),
    ]
    # NaN is a missing value here, but SQL compares it as the largest number.
    columns = ", ".join(
        f"case when not isnan({c}) then {c} end as {c}" for c in map(Identifier.of, names)
    )
    query = f"select user_id, {columns} from {of.features}"
    values = [rule for name in names for rule in _feature(experiment, name)]
    return [
        Batch("features", table=("features", of.name), rules=keys),
        _unique("features", str(of.features), ["user_id"], "correct features.sql"),
        Batch("features where known", query=query, rules=values),
    ]


def assignment_suite(_: Warehouse, experiment: BatchExperiment) -> list[Batch]:
    """Expect one row per user, users in every arm and both splits, and outcomes that happen."""
    declaration = experiment.declaration
    names = [arm.name for arm in declaration.arms]
    binary = [outcome.name for outcome in declaration.outcomes if outcome.kind == "binary"]
    rules = [
        _known_users(),
        Rule(
            "arms",
            gxe.ExpectColumnDistinctValuesToEqualSet(column="arm", value_set=names),
            f"hold users of all arms {names} and no others; {CORRECT}",
        ),
        Rule(
            "splits",
            gxe.ExpectColumnDistinctValuesToEqualSet(column="split", value_set=["train", "holdout"]),
            "hold train and holdout users; there are too few users",
        ),
        *(
            Rule(
                "outcomes",
                gxe.ExpectColumnMeanToBeBetween(
                    column=name, min_value=0, max_value=1, strict_min=True, strict_max=True
                ),
                "happen to some users and not to all; choose another outcome",
            )
            for name in binary
        ),
    ]
    return [
        Batch("assignment", table=("assignment", experiment.name), rules=rules),
        _unique("assignment", str(experiment.tables.assignment), ["user_id"], CORRECT),
    ]


def scores_suite(db: Warehouse, experiment: BatchExperiment) -> list[Batch]:
    """Expect one row per user and treatment, finite scores, and possible effects on the outcome."""
    declaration = experiment.declaration
    users, arms = db.count(experiment.tables.raw), list(declaration.treatments)
    binary = declaration.outcome(declaration.defaults.outcome).kind == "binary"
    rules = [
        Rule(
            "keys",
            gxe.ExpectTableRowCountToEqual(value=users * len(arms)),
            f"have a row for each of {users} users and {len(arms)} treatments",
        ),
        Rule(
            "keys",
            gxe.ExpectColumnValuesToBeInSet(column="arm", value_set=arms),
            f"be one of {arms}; materialize scores again",
        ),
    ]
    for column in SCORES.values():
        rules += _finite(column, low=-1.0 if binary else None, high=1.0 if binary else None)
    return [
        Batch("scores", table=("scores", experiment.name), rules=rules),
        _unique("scores", str(experiment.tables.scores), ["arm", "user_id"], "materialize scores again"),
    ]


def treat_list_suite(experiment: BatchExperiment, dates: Sequence[str]) -> list[Batch]:
    """Expect one row per user and campaign, and no treatment of held-out and suppressed users."""
    # Great Expectations takes no bound values, so a library quotes them.
    listed_dates = ", ".join(exp.Literal.string(date).sql("duckdb") for date in dates)
    name = exp.Literal.string(experiment.name).sql("duckdb")
    of = f"experiment = {name} and decision_date in ({listed_dates})"
    listed = [
        Rule("keys", gxe.ExpectTableRowCountToBeBetween(min_value=1), "hold at least one user"),
        Rule(
            "decisions",
            gxe.ExpectColumnValuesToBeInSet(column="decision", value_set=DECISIONS),
            f"be one of {DECISIONS}",
        ),
        Rule(
            "decisions",
            gxe.ExpectColumnValuesToBeBetween(column="propensity", min_value=0, max_value=1),
            "be a probability, 0 to 1",
        ),
        *_finite("score"),
    ]
    kept_out = [
        Rule(
            "kept_out",
            gxe.ExpectColumnValuesToBeInSet(column="treated", value_set=[False]),
            "be false for users who are held out or suppressed",
        )
    ]
    columns = "decision_date, campaign, user_id, decision, treated, propensity, score"
    lists = f"select {columns} from {TREAT_LIST} where {of}"
    untreatable = "and decision in ('holdout', 'suppressed')"
    key = ["decision_date", "campaign", "user_id"]
    return [
        Batch("treat list", query=lists, rules=listed),
        _unique("treat list", f"({lists})", key, "materialize treat_list again"),
        Batch("kept out", query=f"{lists} {untreatable}", rules=kept_out),
    ]


def _needed_columns(experiment: BatchExperiment) -> Iterator[Rule]:
    declaration = experiment.declaration
    needed = {"user_id", declaration.arm_column, *experiment.features_sql.raw_columns}
    needed |= {outcome.column for outcome in declaration.outcomes} | {*declaration.columns}
    needed |= {declaration.assigned_at} - {""}
    for column in sorted(needed):
        yield Rule("schema", gxe.ExpectColumnToExist(column=column), f"exist; {CORRECT}")


def _known_users() -> Rule:
    return Rule(
        "keys", gxe.ExpectColumnValuesToNotBeNull(column="user_id"), f"never be missing; {CORRECT}"
    )


def _unique(name: str, source: str, key: Sequence[str], remedy: str) -> Batch:
    """Expect that no key has two rows; the batch holds only the keys that have.

    Great Expectations' built-in rules count in three windows over all rows, which takes several times
    as long.
    """
    listed = Identifier.listed(key)
    return Batch(
        f"{name} keys",
        query=f"select {listed}, count(*) as rows_of_key from {source} group by all having count(*) > 1",
        few=True,
        rules=[
            Rule(
                "keys",
                gxe.ExpectColumnValuesToBeBetween(column="rows_of_key", max_value=1),
                f"be 1, as ({', '.join(key)}) is unique; {remedy}",
            )
        ],
    )


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
        yield from _finite(outcome.column, check="outcomes")
    if outcome.kind == "count":
        must = f"be {outcome.must_be}; {CORRECT}"
        yield Rule("outcomes", _between(outcome.column, 0.0, None), must)


def _finite(
    column: str, *, low: float | None = None, high: float | None = None, check: str = "values"
) -> Iterator[Rule]:
    """Expect values that are not missing, not NaN, not infinite, and within the bounds."""
    room = "a finite number" if low is None else f"a number from {low:g} to {high:g}"
    must = f"be {room}; {CORRECT}"
    yield Rule(check, gxe.ExpectColumnValuesToNotBeNull(column=column), must)
    yield Rule(check, _between(column, low, high), must)


def _between(
    column: str, low: float | None, high: float | None, severity: str = "critical"
) -> gxe.Expectation:
    """Expect values between two bounds; without a bound, any number but infinity and NaN."""
    return gxe.ExpectColumnValuesToBeBetween(
        column=column,
        min_value=-LARGEST if low is None else low,
        max_value=LARGEST if high is None else high,
        severity=severity,
    )


LARGEST = 1.7976931348623157e308  # the largest finite double


def _declared_columns(experiment: BatchExperiment) -> Iterator[Rule]:
    for column, rule in experiment.declaration.columns.items():
        must = f"never be missing; {CORRECT}"
        yield Rule("columns", gxe.ExpectColumnValuesToNotBeNull(column=column), must)
        if rule.levels is not None:
            levels = list(rule.levels)
            expected = gxe.ExpectColumnValuesToBeInSet(column=column, value_set=levels)
            yield Rule("columns", expected, f"be one of {levels}; {CORRECT}")
        else:
            room = _room(rule.low, rule.high)
            yield Rule("columns", _between(column, rule.low, rule.high), f"be {room}; {CORRECT}")


def _room(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "a finite number"
    bounds = (f"{word} {bound:g}" for word, bound in (("from", low), ("to", high)) if bound is not None)
    return f"a number {' '.join(bounds)}"


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


def _feature(experiment: BatchExperiment, name: str) -> Iterator[Rule]:
    rule = experiment.declaration.features.get(name)
    low, high = (rule.low, rule.high) if rule else (None, None)
    must = f"be {_room(low, high)}; correct the file, features.sql or the declaration"
    yield Rule("values", _between(name, low, high), must)
    allowed = rule.missing if rule else 0.0
    known = gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=1 - allowed, severity="warning")
    yield Rule("missing", known, f"be known for all but {allowed:.0%} of users; or declare `missing`")
