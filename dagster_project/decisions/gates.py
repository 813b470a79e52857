"""The checks of the night: what a list must pass before it is written, kept in ``decisions.gates``.

A gate here is one check of a list. The gate of a learner is another thing: it says whether acting on the
scores is shown to pay (``uplift_core.evaluation.gate``). The check ``evidence`` reads its word.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from dagster_project.decisions.evidence import ListEvidence, TreatingNobody
from dagster_project.decisions.facts import ListFacts
from dagster_project.decisions.records import GATES, NIGHTS, THIS_LIST, ListKey, Night
from dagster_project.warehouse.connection import Warehouse
from uplift_core.errors import DataError


@dataclass(frozen=True)
class Gate:
    """The result of one check of a list; ``value`` is None if there is nothing to compare with."""

    gate: str
    value: float | None
    limit: float
    message: str
    passed: bool


class GateError(DataError):
    """A list is refused because a check failed; ``answers`` are the results of all its checks."""

    def __init__(self, message: str, key: ListKey, answers: Sequence[Gate]) -> None:
        super().__init__(message)
        self.key, self.answers = key, answers


def record_refusal(db: Warehouse, refusal: GateError) -> None:
    """Write the results about a refused list, unless a list of this key was written before."""
    key = refusal.key
    (written,) = db.one(f"select count(*) from {NIGHTS} where {THIS_LIST}", asdict(key))
    if not written:
        write_answers(db, key, refusal.answers)


def write_answers(db: Warehouse, key: ListKey, answers: Sequence[Gate]) -> None:
    """Replace a list's rows of ``decisions.gates``."""
    rows = [asdict(key) | asdict(gate) for gate in answers]
    db.replace_rows(GATES, asdict(key), pa.Table.from_pylist(rows))


def judge_night(
    facts: ListFacts, night: Night, allowed: float, free_places: str = ""
) -> tuple[Gate, ...]:
    """Return the result of every check of a night.

    Args:
        facts: the facts that the list was made from.
        night: the night.
        allowed: the share of users that it may treat.
        free_places: tells the places of the list that nobody fills; empty if there are none.
    """
    return tuple(_answers(facts, night, allowed, free_places))


def refuse_failures(facts: ListFacts, night: Night, gates: Sequence[Gate]) -> Night:
    """Return the night, with the reason to write it if a check failed.

    Raises:
        GateError: a check failed, and the order gives no reason to write the list all the same.
    """
    failed = [gate.message for gate in gates if not gate.passed]
    if not failed:
        return night
    if not facts.order.override:
        key = facts.key
        raise GateError(
            f"{key.experiment}/{key.campaign} of {key.decision_date} is not written: "
            f"{'; '.join(failed)}. If that is right, run again with `override` and "
            "the reason; it is recorded.",
            key,
            gates,
        )
    return replace(night, override=facts.order.override)


def _answers(facts: ListFacts, night: Night, allowed: float, free_places: str) -> Iterator[Gate]:
    rules = facts.experiment.declaration.decisions
    limits = rules.gates
    yield _ratio_gate(facts, limits.sample_ratio)
    yield _change_gate(night, limits.list_change)
    off = abs(night.realised_rate - allowed) / allowed if allowed else 0.0
    target = "the budget is" if rules.cut == "size" else "the threshold promises"
    yield Gate(
        "realised_rate",
        off,
        limits.realised_rate,
        f"{night.realised_rate:.4f} of users are treated where {target} {allowed:.4f} "
        f"(off by {off:.1%}, at most {limits.realised_rate:.1%} is accepted)"
        + (f"; {free_places}" if free_places else ""),
        passed=off <= limits.realised_rate,
    )
    yield _evidence_gate(facts.evidence)
    # A list that chance draws has the sign of the effect of treating everybody.
    yield _harm_gate(
        facts.gains_over_nobody.of_share(1.0 if facts.evidence.by_chance else night.realised_rate)
    )
    deviation = abs(night.threshold_rate - night.expected_rate)
    yield Gate(
        "threshold_rate",
        deviation,
        limits.threshold_rate,
        f"{night.threshold_rate:.4f} of users are at or above the held-out threshold, "
        f"{night.expected_rate:.4f} were expected (accepted deviation: {limits.threshold_rate})",
        passed=deviation <= limits.threshold_rate,
    )


def _ratio_gate(facts: ListFacts, limit: float) -> Gate:
    ratio = facts.sample_ratio
    return Gate(
        "sample_ratio",
        ratio.deviation,
        limit,
        f"arm '{ratio.arm}' differs from its designed share of {facts.units} by {ratio.deviation:.4f} "
        f"(p = {ratio.p_value:.2g}, at most {limit} is accepted)",
        passed=not ratio.mismatch(limit),
    )


def _evidence_gate(evidence: ListEvidence) -> Gate:
    """Return the check that fails if what is known about the scores forbids the list."""
    refusal = evidence.refusal
    return Gate("evidence", float(bool(refusal)), 0.0, refusal or evidence.sentence, passed=not refusal)


def _harm_gate(comparison: TreatingNobody) -> Gate:
    """Return the check that fails if it is shown that treating nobody is better."""
    upper = comparison.upper
    return Gate(
        "treating_nobody",
        None if math.isnan(upper) else upper,
        0.0,
        comparison.sentence,
        passed=not comparison.harms,
    )


def _change_gate(night: Night, limit: float) -> Gate:
    if night.previous_date is None:
        return Gate("list_change", None, limit, "there is no earlier list to compare with", passed=True)
    both = night.treated + (night.treated - night.entered + night.exited)
    change = (night.entered + night.exited) / both if both else 0.0
    return Gate(
        "list_change",
        change,
        limit,
        f"the list differs from that of {night.previous_date} in {change:.1%} of its users: "
        f"{night.entered} entered, {night.exited} left (at most {limit:.1%} is accepted)",
        passed=change <= limit,
    )
