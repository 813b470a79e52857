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

UNKNOWN = Estimate(math.nan, math.nan)
SAME_BUDGET = 0.05  # a gain at a budget that differs by less speaks for the list


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
    """The comparison of a list with treating nobody, on held-out users and on those of the gate.

    Attributes:
        budget: share of users who are treated.
        unit: what a gain is measured in: the outcome, or money after cost.
        held_out: gain per user of all held-out users; ``UNKNOWN`` if it was not evaluated.
        judged: the same of the train users on whom the learner's gate rests, ranked by models that saw
            none of them; ``UNKNOWN`` if the gate was asked about another budget.
    """

    budget: float
    unit: str
    held_out: Estimate
    judged: Estimate = UNKNOWN

    @property
    def gains(self) -> dict[str, Estimate]:
        """The gains that were evaluated, by the users that they are about."""
        gains = {"held-out users": self.held_out, "users of the learner's gate": self.judged}
        return {who: gain for who, gain in gains.items() if not math.isnan(gain.value)}

    @property
    def upper(self) -> float:
        """The lower of the intervals' upper ends; nan if nothing was evaluated."""
        return min((gain.ci_high for gain in self.gains.values()), default=math.nan)

    @property
    def harms(self) -> bool:
        """Whether it is shown that treating nobody is better: a 95 % interval lies below 0."""
        return self.upper < 0

    @property
    def helps(self) -> bool:
        """Whether it is shown that the list is better than treating nobody."""
        return not self.harms and any(gain.ci_low > 0 for gain in self.gains.values())

    @property
    def sentence(self) -> str:
        """The comparison in words, with its figures."""
        figures = [
            f"{gain.value:+.5f} ± {gain.std_error:.5f} {self.unit} per user, on {who}"
            for who, gain in self.gains.items()
        ]
        if not figures:
            return "no figure compares the list with treating nobody"
        if self.harms:
            shown = "is shown to be worse than treating nobody; nobody should be treated"
        elif self.helps:
            shown = "is shown to be better than treating nobody"
        else:
            shown = "is not shown to be better than treating nobody"
        return f"treating {self.budget:.0%} of users {shown}: {'; '.join(figures)}"


@dataclass(frozen=True)
class GainsOverNobody:
    """Gains over treating nobody, at each evaluated budget.

    Attributes:
        unit: what a gain is measured in: the outcome, or money after cost.
        held_out: gain per user of all held-out users, by share of users who are treated.
        judged: the same of the users of the learner's gate, at its one budget.
    """

    unit: str
    held_out: Mapping[float, Estimate]
    judged: Mapping[float, Estimate]

    def of_share(self, share: float) -> TreatingNobody:
        """Compare a list of this share of users with treating nobody; nearest evaluated budget."""
        judged = next((gain for b, gain in self.judged.items() if abs(b - share) < SAME_BUDGET), UNKNOWN)
        if not self.held_out:
            return TreatingNobody(share, self.unit, UNKNOWN, judged)
        budget = min(self.held_out, key=lambda evaluated: abs(evaluated - share))
        return TreatingNobody(budget, self.unit, self.held_out[budget], judged)


def read_gains_over_nobody(
    db: Warehouse, experiment: BatchExperiment, arm: str, learner: str
) -> GainsOverNobody:
    """Read a learner's gains over treating nobody: in money after cost where a value is declared."""
    declaration = experiment.declaration
    outcome = declaration.outcome(declaration.defaults.outcome)
    about = {"experiment": experiment.name, "arm": arm, "learner": learner}
    rows = db.rows(
        "select budget, incremental, incremental_std_error, net_value, net_std_error "
        "from evaluation.policy_value where experiment = $experiment and arm = $arm "
        "and outcome = $outcome and learner = $learner and estimator = 'aipw' order by budget",
        about | {"outcome": outcome.name},
    )
    judged = {
        budget: Estimate(gain, error)
        for budget, gain, error in db.rows(
            f"select budget, gain_over_nobody, gain_over_nobody_std_error from {REGISTRY} "
            "where is_current and experiment = $experiment and arm = $arm and learner = $learner "
            "and gain_over_nobody is not null",
            about,
        )
    }
    net = {budget: Estimate(value, error) for budget, _, _, value, error in rows if value is not None}
    if not net:
        held_out = {budget: Estimate(gain, error) for budget, gain, error, _, _ in rows}
        return GainsOverNobody(f"'{outcome.name}'", held_out, judged)
    worth, cost = outcome.value, declaration.arm(arm).cost
    paid = {
        b: Estimate(worth * gain.value - cost * b, worth * gain.std_error)
        for b, gain in judged.items()
        if worth is not None
    }
    return GainsOverNobody("in money after cost", net, paid)
