"""The facts that a list is made from: all that is read before the first user gets a role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256

from dagster_project.decisions.evidence import (
    GainsOverNobody,
    ListEvidence,
    list_evidence,
    read_gains_over_nobody,
    rules_of_list,
)
from dagster_project.decisions.records import NIGHTS, ListKey
from dagster_project.decisions.thresholds import held_out_scores
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.complier_effects import with_expected_costs
from dagster_project.inputs.clusters import assigned_units
from dagster_project.inputs.stratum_sizes import stratum_sizes
from dagster_project.scores.score_groups import read_holdout
from dagster_project.training.registry import current_version, deciding_learner
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.provenance import versions_of
from uplift_core.diagnostics.sample_ratio import SampleRatio, sample_ratio
from uplift_core.evaluation.groups import ScoreGroups
from uplift_core.experiment.decision_rules import ArmQuota
from uplift_core.targeting.budget import Budget, Distribution


@dataclass(frozen=True)
class ListOrder:
    """Which list to make.

    Attributes:
        decision_date: YYYY-MM-DD.
        arm: the arm to treat with.
        budget: share of users, number of users or money.
        campaign: the purpose of the list. Default: the arm's name.
        learner: the learner whose score decides. Default: the declared one, or the champion.
        override: the reason to write the list even if a gate fails; recorded.
        quotas: with arm = best, the most that the list gives of each arm. Default: the declared ones.
    """

    decision_date: str
    arm: str
    budget: Budget
    campaign: str = ""
    learner: str = ""
    override: str = ""
    quotas: Mapping[str, ArmQuota] = field(default_factory=dict)


@dataclass(frozen=True)
class ListFacts:
    """What is known before a list is made.

    Attributes:
        key: which list.
        order: what was ordered.
        experiment: the experiment, with the rules of this list.
        learner: the learner whose score decides.
        evidence: whether its scores are shown to pay off.
        model_version: version of the models that gave the scores.
        feature_snapshot: version of the scored features, see ``feature_snapshot``.
        held_out_scores: the scores of held-out users, which give the threshold.
        held_out_groups: the outcomes of held-out users by score; None for a separate population, because
            a gain of held-out users does not hold for other users.
        gains_over_nobody: gains over treating nobody, by budget.
        sample_ratio: the arms' sizes against their design.
        units: what was counted for it: users, or clusters.
        previous_date: date of the campaign's list before this one; None if this is the first.
    """

    key: ListKey
    order: ListOrder
    experiment: BatchExperiment
    learner: str
    evidence: ListEvidence
    model_version: str
    feature_snapshot: str
    held_out_scores: Distribution
    held_out_groups: ScoreGroups | None
    gains_over_nobody: GainsOverNobody
    sample_ratio: SampleRatio
    units: str
    previous_date: str | None


def read_facts(db: Warehouse, experiment: BatchExperiment, order: ListOrder) -> ListFacts:
    """Read the facts of a list.

    Raises:
        ExperimentError: the experiment has no such treatment arm.
        DataError: there are no held-out scores, or they are not finite.
    """
    experiment.declaration.contrast(order.arm)
    experiment = with_expected_costs(db, experiment)
    key = ListKey(order.decision_date, experiment.name, order.campaign or order.arm)
    learner = order.learner or deciding_learner(db, experiment, order.arm)
    evidence = list_evidence(db, experiment, order.arm, learner)
    units = assigned_units(db, experiment)
    shares = {arm.name: arm.share for arm in experiment.declaration.arms}
    return ListFacts(
        key=key,
        order=order,
        experiment=rules_of_list(experiment, evidence),
        learner=learner,
        evidence=evidence,
        model_version=current_version(db, experiment.name),
        feature_snapshot=feature_snapshot(db, experiment),
        held_out_scores=held_out_scores(db, experiment, order.arm, learner),
        held_out_groups=_held_out_groups(db, experiment, order.arm, learner),
        gains_over_nobody=read_gains_over_nobody(db, experiment, order.arm, learner),
        sample_ratio=stratum_sizes(db, experiment).ratio
        if experiment.declaration.propensity_varies
        else sample_ratio(units.by_arm, shares),
        units=units.word,
        previous_date=_previous_date(db, key),
    )


def feature_snapshot(db: Warehouse, experiment: BatchExperiment) -> str:
    """Return the version of the scored features: a hash of the source file and the feature SQL.

    The version of a population is that of its own file.
    """
    version = versions_of(db, experiment.name, ["population"])["population"]
    if experiment.declaration.population and version:
        return version
    (source,) = db.one(
        "select sha256 from raw.registry where experiment = $name", {"name": experiment.name}
    )
    (sql,) = db.one(
        "select any_value(sql_sha256) from features.registry where experiment = $name",
        {"name": experiment.name},
    )
    return sha256(f"{source}{sql}".encode()).hexdigest()[:12]


def _held_out_groups(
    db: Warehouse, experiment: BatchExperiment, arm: str, learner: str
) -> ScoreGroups | None:
    if experiment.declaration.population:
        return None
    groups, _ = read_holdout(db, experiment, arm, experiment.declaration.defaults.outcome).by(learner)
    return groups


def _previous_date(db: Warehouse, key: ListKey) -> str | None:
    (previous,) = db.one(
        f"select max(decision_date)::varchar from {NIGHTS} where experiment = $experiment "
        "and campaign = $campaign and decision_date < $decision_date::date",
        asdict(key),
    )
    return None if previous is None else str(previous)
