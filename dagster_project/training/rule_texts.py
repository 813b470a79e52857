"""Write the rules of a model version for other systems, and keep them in ``models.rule_texts``.

Databases differ in how they quote names and in what they call a number in double precision; sqlglot says
how. The rest is standard SQL: ``case``, comparisons, ``+ - * /`` and ``exp``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import pyarrow as pa
from sqlglot import exp

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.registry import deciding_learner
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.boosting.tree_texts import SqlDialect
from uplift_core.cells import BinEdges
from uplift_core.learners import ContrastModel, LearnerName
from uplift_core.learners.score_texts import ScoreFormula
from uplift_core.targeting.policy_tree import PolicyTree
from uplift_core.targeting.rule_texts import json_conditions, python_function, sql_case

RULE_TEXTS = Identifier.of("models", "rule_texts")
DATABASES = ("duckdb", "postgres", "bigquery", "snowflake")
SCORE = "score"
DRAWN = 4096  # users on whom the score as SQL is compared with the learner's
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("experiment", "arm", "rule", "form", "model_version")),
        ("learner", pa.string()),
        ("error", pa.float64()),
        ("text", pa.string()),
    ]
)


@dataclass(frozen=True)
class ArmRules:
    """What is written of one arm: its learners, and its readable rules from simple to deep."""

    model: ContrastModel
    trees: Sequence[PolicyTree]


@cache
def dialect_of(database: str) -> SqlDialect:
    """Return how SQL is written for a database that sqlglot knows."""

    def quote(name: str) -> str:
        return exp.to_identifier(name, quoted=True).sql(database)

    return SqlDialect(exp.DataType.build("double").sql(database), quote)


def write_rule_texts(
    db: Warehouse,
    experiment: BatchExperiment,
    version: str,
    edges: BinEdges,
    rules: Mapping[str, ArmRules],
) -> None:
    """Replace the experiment's texts by those of a model version; its registry is written already.

    A score of more trees than other systems take is left out.
    """
    labels = {"experiment": experiment.name, "model_version": version}
    rows: list[dict[str, Any]] = []
    for arm, of_arm in rules.items():
        for tree in of_arm.trees:
            name = f"depth_{tree.depth}"
            rows += [
                labels | {"arm": arm, "rule": name, "form": form, "text": text}
                for form, text in _rule_texts(tree)
            ]
        learner = cast(LearnerName, deciding_learner(db, experiment, arm))
        formula = ScoreFormula.of(of_arm.model.learners[learner], edges.features)
        if formula is not None:
            error = _error(db, of_arm.model, learner, formula, edges)
            of_score = {"arm": arm, "rule": SCORE, "learner": learner, "error": error}
            rows += [
                labels | of_score | {"form": form, "text": text} for form, text in _score_texts(formula)
            ]
    db.replace_rows(RULE_TEXTS, {"experiment": experiment.name}, pa.Table.from_pylist(rows, SCHEMA))


def _error(
    db: Warehouse, model: ContrastModel, learner: LearnerName, formula: ScoreFormula, edges: BinEdges
) -> float:
    """Return by how much the score as SQL differs from the learner's, at most, among drawn users.

    Each of their features is an edge of a bin or missing, where the most can go wrong.
    """
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.choice([*edge, np.nan], DRAWN) for edge in edges.edges]).astype(np.float32)
    columns = [pa.array(column, from_pandas=True) for column in x.T]
    with db.relation("drawn_users", pa.table(columns, names=[*edges.features])):
        scores = db.arrow(f"select {formula.sql()} as score from drawn_users").column("score")
    return float(np.abs(scores.to_numpy() - model.predict(x, learner)).max())


def _rule_texts(tree: PolicyTree) -> Iterator[tuple[str, str]]:
    for database in DATABASES:
        yield database, sql_case(tree, dialect_of(database))
    yield "json", json.dumps(json_conditions(tree), indent=2)
    yield "python", python_function(tree)


def _score_texts(formula: ScoreFormula) -> Iterator[tuple[str, str]]:
    for database in DATABASES:
        yield database, formula.sql(dialect_of(database))
    yield "json", json.dumps(formula.json())
    yield "python", formula.python()
