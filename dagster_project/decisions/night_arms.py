"""The report by arm of a list that chooses each user's arm: rows of ``decisions.night_arms``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from dagster_project.decisions.facts import ListFacts
from dagster_project.decisions.gates import Gate
from dagster_project.decisions.records import NIGHT_ARMS, TREAT_LIST, ListKey
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import render
from uplift_core.evaluation.estimate import Estimate
from uplift_core.experiment.decision_rules import ArmQuota

ArmRows = Sequence[dict[str, Any]]


def describe_arms(db: Warehouse, facts: ListFacts, promises: Mapping[str, Estimate]) -> ArmRows:
    """Return a row per arm of the list that was just written, for arms that nobody gets, too.

    Args:
        db: the warehouse, with the list.
        facts: the facts that the list was made from.
        promises: the promised effect by arm, of arms that held-out users would get.
    """
    binds = asdict(facts.key) | {"previous_date": facts.previous_date}
    rows = db.arrow(render("decisions/night_arms.sql", treat_list=TREAT_LIST), binds).to_pylist()
    given, quotas = {row["arm"]: row for row in rows}, facts.order.quotas
    nobody = {"treated": 0, "explored": 0, "spent": 0.0, "changed": 0}
    described = []
    for arm in facts.experiment.declaration.treatments:
        promised = promises.get(arm)
        quota = quotas.get(arm, ArmQuota())
        described.append(
            asdict(facts.key)
            | {"arm": arm}
            | given.get(arm, nobody)
            | quota.model_dump()
            | {
                "promised": promised.value if promised else None,
                "promised_std_error": promised.std_error if promised else None,
            }
        )
    return described


def write_arms(db: Warehouse, key: ListKey, rows: ArmRows) -> None:
    """Replace a list's rows of ``decisions.night_arms``; none for a list about one arm."""
    db.replace_rows(NIGHT_ARMS, asdict(key), pa.Table.from_pylist(list(rows)))


def quota_gate(facts: ListFacts, rows: ArmRows, places: Mapping[str, float]) -> Gate:
    """Return the check that fails if an arm is given to more users than its quota allows.

    Args:
        facts: the facts that the list was made from.
        rows: see ``describe_arms``.
        places: arm -> largest number of users.
    """
    over = {row["arm"]: row["treated"] - places[row["arm"]] for row in rows if row["arm"] in places}
    told = [
        f"'{row['arm']}' goes to {row['treated']:,} of at most {places[row['arm']]:,.0f} users"
        for row in rows
        if row["arm"] in facts.order.quotas
    ]
    most = max(over.values(), default=0.0)
    return Gate("quotas", most, 0.0, "; ".join(told), passed=most <= 0)
