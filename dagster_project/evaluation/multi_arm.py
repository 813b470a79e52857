"""Compute ``evaluation.multi_arm``: policies over several arms and over one, on held-out users."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.complier_effects import with_expected_costs
from dagster_project.reporting.markdown import markdown_table, with_error
from dagster_project.scores.arm_users import all_arms, arm_propensities, read_held_out_users
from dagster_project.scores.predictions import SCORES, outcome_columns
from dagster_project.scores.score_groups import doubles, first_rows
from dagster_project.training.arm_policies import calibrated
from dagster_project.training.registry import deciding_learner
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.arrays import Doubles
from uplift_core.evaluation.arm_gate import MULTI_ARM, single_policy
from uplift_core.evaluation.clusters import Clusters
from uplift_core.evaluation.estimate import BETTER, WORSE, Estimate
from uplift_core.evaluation.multi_arm import ArmScores, PolicyAt, arm_scores, arm_terms
from uplift_core.evaluation.tables import Rows
from uplift_core.experiment.declaration import Experiment
from uplift_core.learners import LEARNER_NAMES
from uplift_core.targeting.arm_choice import arm_costs
from uplift_core.targeting.arm_path import find_path

DECIDING = "deciding"
BUDGETS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Choice:
    """The gain of choosing each user's arm at one budget, compared with the best single arm.

    Attributes:
        outcome: the default outcome.
        budget: cost per user divided by the cost of the dearest arm.
        best_single: the arm that, alone, gains most on held-out users.
        difference: paired difference of the gains per held-out user; below 0 if that arm does better.
        verdict: whether choosing is better or worse than that arm, or the evidence is inconclusive.
    """

    outcome: str
    budget: float
    best_single: str
    difference: Estimate
    verdict: str

    @property
    def sentence(self) -> str:
        """The verdict in words, with its figures."""
        by = with_error(self.difference.value, self.difference.std_error, digits=4, sign=True)
        words = {BETTER: "is better than", WORSE: "is worse than"}
        return (
            f"at a budget of {self.budget:g}, choosing an arm for each user "
            f"{words.get(self.verdict, 'is not shown to differ from')} '{self.best_single}' alone: "
            f"{by} {self.outcome} per held-out user (± one standard error)"
        )


@dataclass(frozen=True)
class HeldOut:
    """Held-out users by cell.

    Attributes:
        effects: learner -> (n_cells, n_arms) predicted effects.
        scores: outcome -> doubly robust scores.
    """

    effects: Mapping[str, Doubles]
    scores: Mapping[str, ArmScores]

    @property
    def n(self) -> Doubles:
        """(n_cells,) number of users."""
        return next(iter(self.scores.values())).n


def multi_arm_rows(db: Warehouse, experiment: BatchExperiment) -> Rows:
    """Compute all rows of an experiment with several treatment arms."""
    declaration = with_expected_costs(db, experiment).declaration
    held_out, costs = read_held_out(db, experiment), arm_costs(declaration)
    budgets = sorted({*BUDGETS, declaration.defaults.budget})
    rows: Rows = []
    for learner, effects in held_out.effects.items():
        policies = _policies(declaration, effects, costs, held_out.n)
        for budget in budgets:
            at = {name: PolicyAt.of(policy, budget * costs.max()) for name, policy in policies.items()}
            for outcome, scores in held_out.scores.items():
                label = {"experiment": experiment.name, "outcome": outcome, "learner": learner}
                rows += [label | {"budget": budget} | row for row in _compared(scores, at, costs)]
    names = declaration.treatments
    return [row | {"arm_shares": _named(row["arm_shares"], names)} for row in rows]


def judge_choice(db: Warehouse, experiment: BatchExperiment, budget: float) -> Choice:
    """Compare choosing each user's arm with the best single arm, at any budget.

    This is the row of ``evaluation.multi_arm`` of the deciding learners, for the default outcome; the
    budget need not be one of the table's.
    """
    declaration = with_expected_costs(db, experiment).declaration
    users, costs, outcome = (
        read_held_out(db, experiment),
        arm_costs(declaration),
        declaration.defaults.outcome,
    )
    policies = _policies(declaration, users.effects[DECIDING], costs, users.n)
    at = {name: PolicyAt.of(policy, budget * costs.max()) for name, policy in policies.items()}
    rows = _compared(users.scores[outcome], at, costs)
    row = next(row for row in rows if row["policy"] == MULTI_ARM)
    difference = Estimate(row["difference"], row["difference_std_error"])
    return Choice(outcome, budget, row["best_single"], difference, row["verdict"])


def policies_markdown(experiment: Experiment, rows: Rows) -> str:
    """Format the gains of the deciding learners' policy and of the best single arm, by budget."""
    shown = [
        (
            f"{row['budget']:g}",
            with_error(row["gain"], row["std_error"], sign=True),
            row["best_single"],
            with_error(row["difference"], row["difference_std_error"], sign=True),
            row["verdict"],
        )
        for row in rows
        if (row["learner"], row["policy"]) == (DECIDING, MULTI_ARM)
        and row["outcome"] == experiment.defaults.outcome
    ]
    head = ["budget", "gain over nobody", "best single arm", "gain over it", "verdict"]
    note = f"Mean {experiment.defaults.outcome} per held-out user; ± one standard error.\n\n"
    return note + markdown_table(head, shown)


def read_held_out(db: Warehouse, experiment: BatchExperiment) -> HeldOut:
    """Read predicted effects and doubly robust scores of all treatment arms."""
    declaration = experiment.declaration
    predicted = _read_predictions(db, experiment)
    deciding = [deciding_learner(db, experiment, arm) for arm in declaration.treatments]
    effects: dict[str, Doubles] = {name: predicted[SCORES[name]] for name in LEARNER_NAMES}
    columns = [effects[learner][:, k] for k, learner in enumerate(deciding)]
    of_arms = calibrated(db, experiment, np.column_stack(columns))
    propensity = arm_propensities(declaration)
    scores = {}
    for outcome in declaration.outcomes:
        mu0, mu1 = (predicted[column] for column in outcome_columns(outcome.name))
        # Every contrast has a model of the control; it is the same unless arms were tuned separately.
        mu = np.column_stack([mu0.mean(axis=1), mu1])
        users = read_held_out_users(db, experiment, outcome.name)
        of_outcome = arm_scores(users.n, users.y, users.yy, mu=mu, propensity=propensity)
        if declaration.cluster:
            of_outcome = replace(of_outcome, clusters=_read_clusters(db, experiment, outcome.name, mu))
        scores[outcome.name] = of_outcome
    return HeldOut({DECIDING: of_arms, **effects}, scores)


def _read_predictions(db: Warehouse, experiment: BatchExperiment) -> dict[str, Doubles]:
    """Read predictions: column -> (n_cells, n_arms), with cells in ascending order."""
    declaration = experiment.declaration
    outcomes = [column for o in declaration.outcomes for column in outcome_columns(o.name)]
    names = [*(SCORES[learner] for learner in LEARNER_NAMES), *outcomes]
    sql = render(
        "evaluation/arm_predictions.sql",
        predictions=experiment.tables.predictions,
        cells=experiment.tables.cells,
        columns=Identifier.listed(names),
    )
    rows = db.arrow(sql, {"arms": list(declaration.treatments)})
    return {name: doubles(rows, name).reshape(len(declaration.treatments), -1).T for name in names}


def _read_clusters(db: Warehouse, experiment: BatchExperiment, outcome: str, mu: Doubles) -> Clusters:
    """Read held-out users by cluster; ``mu`` (n_cells, 1 + n_arms) predicts for each cell with users."""
    sql = render(
        "evaluation/arm_clusters.sql",
        assignment=experiment.tables.assignment,
        user_cells=experiment.tables.user_cells,
        outcome=experiment.outcome(outcome).name,
    )
    rows = db.arrow(sql, {"arms": list(all_arms(experiment.declaration))})
    group = np.unique(rows.column("cell").to_numpy(), return_inverse=True)[1].ravel()
    terms = arm_terms(
        rows.column("arm").to_numpy(),
        doubles(rows, "y"),
        mu=mu[group],
        propensity=arm_propensities(experiment.declaration),
    )
    return Clusters.in_order(first_rows(rows), group, terms, len(mu))


def _policies(
    experiment: Experiment, effects: Doubles, costs: Doubles, n: Doubles
) -> Mapping[str, Callable[[float], Doubles]]:
    """Return each policy as a function from a budget per user to (n_cells, n_arms) shares."""
    policies = {MULTI_ARM: find_path(effects, costs, n).shares}
    for k, arm in enumerate(experiment.treatments):
        policies[arm] = find_path(single_policy(effects, k), costs, n).shares
    return policies


def _compared(
    scores: ArmScores, policies: Mapping[str, PolicyAt], costs: Doubles
) -> Iterator[dict[str, Any]]:
    shares = {name: policy.shares for name, policy in policies.items()}
    at_cut = {name: scores.at_cut(policy, costs) for name, policy in policies.items()}
    gains = {name: scores.gain(pi, at_cut[name]) for name, pi in shares.items()}
    best = max((name for name in gains if name != MULTI_ARM), key=lambda name: gains[name].value)
    users = scores.n.sum()
    for name, gain in gains.items():
        other = best if name == MULTI_ARM else name
        difference = scores.gain(
            shares[MULTI_ARM] - shares[other], np.asarray(at_cut[MULTI_ARM] - at_cut[other])
        )
        by_arm = scores.n @ shares[name] / users
        yield {
            "policy": name,
            "spend": float(by_arm @ costs),
            "treated": float(by_arm.sum()),
            "arm_shares": by_arm.tolist(),
            "gain": gain.value,
            "std_error": gain.std_error,
            "ci_low": gain.ci_low,
            "ci_high": gain.ci_high,
            "best_single": best,
            "difference": difference.value,
            "difference_std_error": difference.std_error,
            "difference_ci_low": difference.ci_low,
            "difference_ci_high": difference.ci_high,
            "verdict": difference.verdict,
            "n": round(users),
        }


def _named(shares: list[float], arms: tuple[str, ...]) -> str:
    return json.dumps(dict(zip(arms, shares, strict=True)))
