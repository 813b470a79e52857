"""Judge the readable rules on held-out users: what they gain, beside the scores that decide."""

from __future__ import annotations

from typing import Any

import numpy as np

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import SCORES
from dagster_project.scores.score_groups import (
    Grouping,
    doubles,
    groups_of,
    read_cluster_users,
    sums_binds,
    sums_select,
)
from dagster_project.training.cells import features_of, read_feature_cells
from dagster_project.training.registry import deciding_learner
from dagster_project.training.rules import leaf_effects, read_rules
from dagster_project.warehouse.connection import Warehouse
from uplift_core.evaluation.estimate import Estimate, difference, ratio, spread
from uplift_core.evaluation.groups import JointGroups
from uplift_core.evaluation.policy import effect_within, gain_over_random
from uplift_core.evaluation.tables import Rows
from uplift_core.targeting.policy_tree import PolicyTree
from uplift_core.targeting.rule_texts import conditions_in_words

LEAF = "leaf"


def rule_rows(db: Warehouse, experiment: BatchExperiment) -> dict[str, Rows]:
    """Compute the rows of ``evaluation.rules`` and ``evaluation.rule_leaves``."""
    rules: Rows = []
    leaves: Rows = []
    for arm in experiment.declaration.treatments:
        for rule in read_rules(db, experiment, arm):
            label = {"experiment": experiment.name, "arm": arm, "depth": rule.depth}
            learner = deciding_learner(db, experiment, arm)
            groups = _held_out(db, experiment, arm, learner, rule)
            rules.append(label | {"learner": learner} | _gains(experiment, groups, learner))
            leaves += [label | row for row in _leaves(groups, rule)]
    return {"rules": rules, "rule_leaves": leaves}


def _held_out(
    db: Warehouse, experiment: BatchExperiment, arm: str, learner: str, rule: PolicyTree
) -> JointGroups:
    """Read the held-out users by the rule's leaf and the score of the learner that decides."""
    outcome, clustered = experiment.declaration.defaults.outcome, experiment.declaration.errors_by_unit
    scores = {learner: SCORES[learner]}
    grouping = Grouping.by_scores(scores, clustered=True, by_fold=False)
    sql = sums_select(experiment, experiment.tables.predictions, outcome, grouping)
    rows = db.arrow(sql, sums_binds(experiment, arm, by_fold=False))
    users = read_cluster_users(db, experiment, arm, outcome, by_fold=False) if clustered else None
    x = read_feature_cells(db, experiment, tuple(features_of(db, experiment)))
    cell = rows.column("cell").to_numpy()
    rankings = {
        learner: doubles(rows, scores[learner]),
        "rule": leaf_effects(rule, x[cell]),
        LEAF: rule.leaf_of(x[cell]).astype(np.float64),
    }
    e = experiment.declaration.contrast(arm).propensity
    return groups_of(rows, e, users, rankings).merged()


def _gains(experiment: BatchExperiment, groups: JointGroups, learner: str) -> dict[str, Any]:
    budget = experiment.declaration.defaults.budget

    def gain(name: str) -> Estimate:
        ranked, place = groups.by(name)
        return spread(gain_over_random(ranked, budget), place)

    by_rule, by_score = gain("rule"), gain(learner)
    paired = difference(groups, by_rule, by_score)
    # A share of a gain that is not above 0 says nothing.
    share = ratio(groups, by_rule, by_score) if by_score.ci_low > 0 else None
    return {
        "budget": budget,
        "n": round(groups.n_users),
        "gain_over_random": by_rule.value,
        "gain_std_error": by_rule.std_error,
        "learner_gain": by_score.value,
        "learner_gain_std_error": by_score.std_error,
        "difference": paired.value,
        "difference_std_error": paired.std_error,
        "verdict": paired.verdict,
        "share": share.value if share else None,
        "share_std_error": share.std_error if share else None,
    }


def _leaves(groups: JointGroups, rule: PolicyTree) -> Rows:
    """Estimate the effect in each leaf, on held-out users."""
    rows, by_leaf = [], groups.by(LEAF)[0]
    n = dict(zip(by_leaf.score.tolist(), by_leaf.n.tolist(), strict=True))
    for number, (path, leaf) in enumerate(rule.leaves()):
        inside = groups.scores[LEAF] == number
        effect = effect_within(groups, inside) if n.get(number) else None
        rows.append(
            {
                "leaf": number + 1,
                "segment": conditions_in_words(path),
                "treated": leaf.treated,
                "n": round(n.get(number, 0)),
                "effect": effect.value if effect else None,
                "std_error": effect.std_error if effect else None,
            }
        )
    return rows
