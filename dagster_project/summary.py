"""What the main job says at its end, read from the published snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from dagster_project.declared.experiment import ExperimentFolder
from dagster_project.scores.predictions import NAMES
from uplift_core.home import Home
from uplift_core.publication import read_pointer

QUERY = """
select policy.learner, policy.value, policy.std_error, policy.random_value,
    policy.gain_over_random, policy.gain_std_error, metrics.value as qini, policy.n
from evaluation.policy_value as policy
left join evaluation.metrics as metrics
    on metrics.experiment = policy.experiment and metrics.arm = policy.arm
    and metrics.learner = policy.learner and metrics.outcome = policy.outcome
    and metrics.metric = 'qini_auc'
where policy.experiment = $experiment and policy.arm = $arm and policy.outcome = $outcome
    and policy.budget = $budget and policy.estimator = 'aipw'
order by policy.value desc
"""

GATE = """
select gate, gate_reason from models.registry
where experiment = $experiment and arm = $arm and is_current and learner = $learner
"""


@dataclass(frozen=True)
class Summary:
    """A table for people: title, rows of text, note."""

    title: str
    rows: Sequence[tuple[str, ...]]
    note: str


def read_summary(home: Home, folder: ExperimentFolder) -> Summary:
    """Policy value, gain and Qini of each learner at the default budget."""
    defaults = folder.experiment.defaults
    pointer = read_pointer(home.published)
    decides = pointer.experiments[folder.name].learner
    named = {"experiment": folder.name, "arm": defaults.arm}
    with duckdb.connect(str(home.published / pointer.file), read_only=True) as con:
        found = con.execute(
            QUERY, {**named, "outcome": defaults.outcome, "budget": defaults.budget}
        ).fetchall()
        ((word, reason),) = con.execute(GATE, named | {"learner": decides}).fetchall()
    rows = [
        (
            NAMES[learner] + (" *" if learner == decides else ""),
            f"{value:.4f} ± {error:.4f}",
            f"{random:.4f}",
            f"{gain:+.4f} ± {gain_error:.4f}",
            "" if qini is None else f"{qini:.4f}",
        )
        for learner, value, error, random, gain, gain_error, qini, _ in found
    ]
    return Summary(
        title=f"{folder.name}: {defaults.arm} against {folder.experiment.control}, "
        f"{defaults.outcome}, {defaults.budget:.0%} treated",
        rows=rows,
        note=f"{defaults.outcome} per user on {found[0][-1]:,} held-out users, doubly robust; "
        f"± one standard error; * decides\nGate: {word}. {reason}",
    )
