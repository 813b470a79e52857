"""Judge the readable rules on held-out users: what they gain, beside the scores that decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

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
from dagster_project.training.rules import read_descriptions, read_rules
from dagster_project.warehouse.connection import Warehouse
from uplift_core.arrays import Floats
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
    described = read_descriptions(db, experiment)
    for arm in experiment.declaration.treatments:
        if not (of_arm := read_rules(db, experiment, arm)):
            continue
        users = HeldOut.read(db, experiment, arm)
        for rule in of_arm:
            label = {"experiment": experiment.name, "arm": arm, "depth": rule.depth}
            groups = users.by_leaf(rule)
            gains = _gains(groups, users.learner, experiment.declaration.defaults.budget)
            rules.append(label | {"learner": users.learner} | gains)
            leaves += [label | row for row in _leaves(groups, rule, described)]
    return {"rules": rules, "rule_leaves": leaves}


@dataclass(frozen=True)
class HeldOut:
    """The held-out users of one contrast, cell by cell.

    Attributes:
        learner: the learner that decides.
        rows: their sums by cell, and its score.
        x: (n_rows, n_features) float32 features of the cells.
        propensity: e, by design.
        users: the users by cluster; None if users are independent.
    """

    learner: str
    rows: pa.Table
    x: Floats
    propensity: float
    users: pa.Table | None

    @classmethod
    def read(cls, db: Warehouse, experiment: BatchExperiment, arm: str) -> HeldOut:
        """Read the held-out users of one arm and the control."""
        declaration, learner = experiment.declaration, deciding_learner(db, experiment, arm)
        outcome = declaration.defaults.outcome
        grouping = Grouping.by_scores({learner: SCORES[learner]}, clustered=True, by_fold=False)
        sql = sums_select(experiment, experiment.tables.predictions, outcome, grouping)
        rows = db.arrow(sql, sums_binds(experiment, arm, by_fold=False))
        by_unit = declaration.errors_by_unit
        users = read_cluster_users(db, experiment, arm, outcome, by_fold=False) if by_unit else None
        features = read_feature_cells(db, experiment, tuple(features_of(db, experiment)))
        x = features[rows.column("cell").to_numpy()]
        return cls(learner, rows, x, declaration.contrast(arm).propensity, users)

    def by_leaf(self, rule: PolicyTree) -> JointGroups:
        """Group the users by a rule's leaf and the learner's score."""
        leaf = rule.leaf_of(self.x)
        effects = np.asarray([each.effect for _, each in rule.leaves()])
        rankings = {
            self.learner: doubles(self.rows, SCORES[self.learner]),
            "rule": effects[leaf],
            LEAF: leaf.astype(np.float64),
        }
        return groups_of(self.rows, self.propensity, self.users, rankings).merged()


def _gains(groups: JointGroups, learner: str, budget: float) -> dict[str, Any]:
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


def _leaves(groups: JointGroups, rule: PolicyTree, described: Mapping[str, str]) -> Rows:
    """Estimate the effect in each leaf, on held-out users."""
    rows, by_leaf = [], groups.by(LEAF)[0]
    n = dict(zip(by_leaf.score.tolist(), by_leaf.n.tolist(), strict=True))
    for number, (path, leaf) in enumerate(rule.leaves()):
        inside = groups.scores[LEAF] == number
        effect = effect_within(groups, inside) if n.get(number) else None
        rows.append(
            {
                "leaf": number + 1,
                "segment": conditions_in_words(path, described),
                "treated": leaf.treated,
                "n": round(n.get(number, 0)),
                "effect": effect.value if effect else None,
                "std_error": effect.std_error if effect else None,
            }
        )
    return rows
