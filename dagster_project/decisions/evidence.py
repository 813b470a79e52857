"""What is known about whether the scores that rank a list pay off, and what the list does about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.registry import REGISTRY, current_version
from dagster_project.warehouse.connection import Warehouse
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.gate import EvidenceStatus
from uplift_core.experiment.decision_rules import WhenNotProven


@dataclass(frozen=True)
class ListEvidence:
    """The word of the gate of the learner that decides, its reason, and the declared consequence.

    Attributes:
        learner: the learner.
        word: passed, inconclusive or contradicted.
        reason: why, in a sentence.
        when_not_proven: the declared choice; see ``Decisions``.
    """

    learner: str
    word: EvidenceStatus
    reason: str
    when_not_proven: WhenNotProven

    @property
    def by_chance(self) -> bool:
        """Whether chance draws the users to treat, because the score is not shown to pay off."""
        return self.word != "passed" and self.when_not_proven == "explore"

    @property
    def refusal(self) -> str:
        """Why no list may be written; empty if one may."""
        if self.word == "passed" or self.by_chance:
            return ""
        if self.when_not_proven == "stop":
            choice = "[decisions] when_not_proven = 'stop'"
            return f"'{self.learner}' is {self.word}, and {choice}: {self.reason}"
        return self.reason if self.word == "contradicted" else ""

    @property
    def sentence(self) -> str:
        """What the list does, and why."""
        if self.word == "passed":
            return f"the list ranks by '{self.learner}', whose gate is passed"
        if self.by_chance:
            return f"chance draws the users to treat, because '{self.learner}' is {self.word}"
        return (
            f"the list ranks by '{self.learner}' although it is {self.word}: choosing by its score "
            "is not shown to pay off"
        )


def list_evidence(db: Warehouse, experiment: BatchExperiment, arm: str, learner: str) -> ListEvidence:
    """Read the word of the gate of a learner of the current model version."""
    word, reason = db.one(
        f"select gate, gate_reason from {REGISTRY} "
        "where model_version = $model_version and arm = $arm and learner = $learner",
        {"model_version": current_version(db, experiment.name), "arm": arm, "learner": learner},
    )
    return ListEvidence(learner, word, reason, experiment.declaration.decisions.when_not_proven)


def rules_of_list(experiment: BatchExperiment, evidence: ListEvidence) -> BatchExperiment:
    """Return the experiment with the rules of this list: by chance if the evidence asks for it."""
    if not evidence.by_chance:
        return experiment
    declaration = experiment.declaration
    decisions = declaration.decisions.drawn_by_chance()
    return replace(experiment, declaration=declaration.model_copy(update={"decisions": decisions}))


@dataclass(frozen=True)
class TreatingNobody:
    """The comparison of a list with treating nobody, on held-out users.

    Attributes:
        budget: share of users who are treated.
        unit: what the gain is measured in: the outcome, or money after cost.
        gain: gain per user of all users; (nan, nan) if it was not evaluated.
    """

    budget: float
    unit: str
    gain: Estimate

    @property
    def harms(self) -> bool:
        """Whether it is shown that treating nobody is better: the 95 % interval lies below 0."""
        return self.gain.ci_high < 0

    @property
    def sentence(self) -> str:
        """The comparison in words, with its figures."""
        if math.isnan(self.gain.value):
            return "no figure of held-out users compares the list with treating nobody"
        if self.harms:
            shown = "is shown to be worse than treating nobody; nobody should be treated"
        elif self.gain.ci_low > 0:
            shown = "is shown to be better than treating nobody"
        else:
            shown = "is not shown to be better than treating nobody"
        return (
            f"treating {self.budget:.0%} of users {shown}: {self.gain.value:+.5f} ± "
            f"{self.gain.std_error:.5f} {self.unit} per user, on held-out users"
        )


@dataclass(frozen=True)
class GainsOverNobody:
    """Gains over treating nobody on held-out users, at each evaluated budget.

    Attributes:
        unit: what a gain is measured in: the outcome, or money after cost.
        by_budget: gain per user of all users, by share of users who are treated.
    """

    unit: str
    by_budget: Mapping[float, Estimate]

    def of_share(self, share: float) -> TreatingNobody:
        """Compare a list of this share of users with treating nobody; nearest evaluated budget."""
        if not self.by_budget:
            return TreatingNobody(share, self.unit, Estimate(math.nan, math.nan))
        budget = min(self.by_budget, key=lambda evaluated: abs(evaluated - share))
        return TreatingNobody(budget, self.unit, self.by_budget[budget])


def read_gains_over_nobody(
    db: Warehouse, experiment: BatchExperiment, arm: str, learner: str
) -> GainsOverNobody:
    """Read a learner's gains over treating nobody: in money after cost where a value is declared."""
    outcome = experiment.declaration.defaults.outcome
    rows = db.rows(
        "select budget, incremental, incremental_std_error, net_value, net_std_error "
        "from evaluation.policy_value where experiment = $experiment and arm = $arm "
        "and outcome = $outcome and learner = $learner and estimator = 'aipw' order by budget",
        {"experiment": experiment.name, "arm": arm, "outcome": outcome, "learner": learner},
    )
    if any(net is not None for *_, net, _error in rows):
        gains = {budget: Estimate(net, error) for budget, _, _, net, error in rows}
        return GainsOverNobody("in money after cost", gains)
    gains = {budget: Estimate(gain, error) for budget, gain, error, _, _ in rows}
    return GainsOverNobody(f"'{outcome}'", gains)
