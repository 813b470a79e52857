"""Guardrails: a list is refused if too many of the campaign's treated users had an unwanted event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from dagster_project.decisions.facts import ListFacts
from dagster_project.decisions.gates import Gate
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import render
from uplift_core.evaluation.guardrail import Events

PREFIX = "guardrail_"  # of the names of these checks


def judge_guardrails(db: Warehouse, facts: ListFacts) -> Iterator[Gate]:
    """Yield the check of every guardrail, on what was measured of the campaign's earlier nights."""
    for name, guardrail in facts.experiment.declaration.decisions.guardrails.items():
        binds = asdict(facts.key) | {"outcome": name, "limit": guardrail.max}
        treatments, at_first, happened, squares = db.one(render("decisions/guardrail.sql"), binds)
        if not treatments:
            told = f"'{name}' of the campaign's treated users has not been measured yet"
            yield Gate(f"{PREFIX}{name}", None, guardrail.max, told, passed=True)
            continue
        events = Events(treatments, at_first, happened, squares, guardrail.max)
        yield Gate(
            f"{PREFIX}{name}",
            events.lower_end,
            guardrail.max,
            f"'{name}' happened after {events.rate:.4%} of {treatments:,} treatments, and with 95 % "
            f"confidence on all nights at once after more than {max(events.lower_end, 0.0):.4%} "
            f"(at most {guardrail.max:.4%} is accepted)",
            passed=not events.too_many,
        )
