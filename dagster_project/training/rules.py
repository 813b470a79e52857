"""Learn rules that a person can read from the train users, and keep them in ``models.rules``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.score_groups import Grouping, doubles, sums_binds, sums_select
from dagster_project.training.cells import read_feature_cells
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.cells import BinEdges
from uplift_core.targeting.policy_tree import PolicyTree, policy_tree
from uplift_core.targeting.rule_texts import in_words, json_conditions, sql_case
from uplift_core.targeting.tree_search import ScoredCells

RULES = Identifier.of("models", "rules")
DEPTHS = (1, 2)
MOST_CELLS = 3_000_000  # with more, a rule costs more than the learners


def learn_rules(
    db: Warehouse, experiment: BatchExperiment, arm: str, edges: BinEdges, predictions: Identifier
) -> tuple[PolicyTree, ...]:
    """Find the best rules of an arm for the default budget, one of each depth.

    Args:
        db: the warehouse.
        experiment: the experiment.
        arm: the treatment arm.
        edges: lower edges of the features' bins.
        predictions: out-of-fold predictions of both arms' outcomes, by cell and fold: they make each
            user's doubly robust score without having seen the user.

    Returns:
        The rules, from simple to deep; none if the users are in too many cells.
    """
    if db.count(experiment.tables.feature_cells) > MOST_CELLS:
        return ()
    defaults = experiment.declaration.defaults
    grouping = Grouping(Identifier.of("cell"), {}, by_fold=True)
    sums = sums_select(experiment, predictions, defaults.outcome, grouping)
    rows = db.arrow(
        f"select cell, sum(n) as n, sum(phi::decimal(38, 12))::double as phi from ({sums}) "
        "group by cell order by cell",
        sums_binds(experiment, arm, by_fold=True),
    )
    x = read_feature_cells(db, experiment, edges.features)[rows.column("cell").to_numpy()]
    cells = ScoredCells(edges, x, doubles(rows, "n"), doubles(rows, "phi"))
    return tuple(policy_tree(cells, depth, budget=defaults.budget) for depth in DEPTHS)


def write_rules(
    db: Warehouse, experiment: BatchExperiment, version: str, rules: Mapping[str, Sequence[PolicyTree]]
) -> None:
    """Replace the experiment's rules by those of a model version: arm -> rules."""
    described = read_descriptions(db, experiment)
    rows = [
        {
            "experiment": experiment.name,
            "arm": arm,
            "depth": rule.depth,
            "model_version": version,
            "budget": experiment.declaration.defaults.budget,
            "words": in_words(rule, described),
            "sql": sql_case(rule),
            "conditions": json.dumps(json_conditions(rule)),
            "tree": json.dumps(rule.to_dict()),
            "shortfall": rule.shortfall,
        }
        for arm, of_arm in rules.items()
        for rule in of_arm
    ]
    db.replace_rows(RULES, {"experiment": experiment.name}, pa.Table.from_pylist(rows))


def read_descriptions(db: Warehouse, experiment: BatchExperiment) -> dict[str, str]:
    """Read what each feature is, from the comments of its SQL."""
    rows = db.rows(
        "select name, description from features.registry where experiment = $experiment",
        {"experiment": experiment.name},
    )
    return {name: description or "" for name, description in rows}


def read_rules(db: Warehouse, experiment: BatchExperiment, arm: str) -> list[PolicyTree]:
    """Read the rules of an arm, from simple to deep."""
    rows = db.rows(
        f"select tree from {RULES} where experiment = $experiment and arm = $arm order by depth",
        {"experiment": experiment.name, "arm": arm},
    )
    return [PolicyTree.from_dict(json.loads(tree)) for (tree,) in rows]
