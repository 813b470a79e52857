"""The expectations of the tables that the batch computes; ``expected_raw`` has those of the file.

There is one builder per layer, so a new experiment has its suites without extra code. The declaration's
``[features]`` adds expectations for one experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from great_expectations import expectations as gxe
from sqlglot import exp

from dagster_project.checks.expected_raw import raw_suite
from dagster_project.checks.great_expectations_duckdb import Batch, Rule
from dagster_project.checks.shared_rules import CORRECT, between, finite, known_users, room, unique
from dagster_project.decisions.records import TREAT_LIST
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import SCORES
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.table_names import UserTables

DECISIONS = ["treat", "no_treat", "holdout", "explore", "suppressed", "usual", "explore_near"]


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
        known_users(),
    ]
    # NaN is a missing value here, but SQL compares it as the largest number.
    columns = ", ".join(
        f"case when not isnan({c}) then {c} end as {c}" for c in map(Identifier.of, names)
    )
    query = f"select user_id, {columns} from {of.features}"
    values = [rule for name in names for rule in _feature(experiment, name)]
    return [
        Batch("features", table=("features", of.name), rules=keys),
        unique("features", str(of.features), ["user_id"], "correct features.sql"),
        Batch("features where known", query=query, rules=values),
    ]


def assignment_suite(_: Warehouse, experiment: BatchExperiment) -> list[Batch]:
    """Expect one row per user, users in every arm and both splits, and outcomes that happen."""
    declaration = experiment.declaration
    names = [arm.name for arm in declaration.arms]
    binary = [outcome.name for outcome in declaration.outcomes if outcome.kind == "binary"]
    rules = [
        known_users(),
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
        unique("assignment", str(experiment.tables.assignment), ["user_id"], CORRECT),
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
        rules += finite(column, low=-1.0 if binary else None, high=1.0 if binary else None)
    return [
        Batch("scores", table=("scores", experiment.name), rules=rules),
        unique("scores", str(experiment.tables.scores), ["arm", "user_id"], "materialize scores again"),
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
        *finite("score"),
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
        unique("treat list", f"({lists})", key, "materialize treat_list again"),
        Batch("kept out", query=f"{lists} {untreatable}", rules=kept_out),
    ]


def _feature(experiment: BatchExperiment, name: str) -> Iterator[Rule]:
    rule = experiment.declaration.features.get(name)
    low, high = (rule.low, rule.high) if rule else (None, None)
    must = f"be {room(low, high)}; correct the file, features.sql or the declaration"
    yield Rule("values", between(name, low, high), must)
    allowed = rule.missing if rule else 0.0
    known = gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=1 - allowed, severity="warning")
    yield Rule("missing", known, f"be known for all but {allowed:.0%} of users; or declare `missing`")


SUITES: dict[str, Callable[[Warehouse, BatchExperiment], list[Batch]]] = {
    "raw": raw_suite,
    "features": features_suite,
    "assignment": assignment_suite,
    "scores": scores_suite,
}
