"""Lists over several arms in tests: made, read, and measured on simulated outcomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.realised import measure
from dagster_project.decisions.records import Night
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from tests.support import OFFER_COSTS, dicts, offered_lift
from uplift_core.targeting.budget import Budget

USERS, DATE = 8_000, "2026-03-01"
ARMS = tuple(OFFER_COSTS)
LIST = (
    "select list.*, visits, orders, age "
    "from decisions.treat_list as list join raw.offers using (user_id) "
    "where decision_date = $date::date and campaign = 'best' order by user_id"
)


def write(db: Warehouse, offers: BatchExperiment, date: str = DATE, **order: object) -> Night:
    """Make a list with arm = best; the budget is one of the order's share, users and money."""
    budget = Budget(**{k: order.pop(k) for k in ("share", "users", "money") if k in order})
    return write_treat_list(db, offers, ListOrder(date, "best", budget, **order), assign_roles)


def read_list(db: Warehouse, date: str = DATE) -> list[dict]:
    """Read a list with the users' features, in the order of their ids."""
    return dicts(db, LIST, {"date": date})


def column(rows: list[dict], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows])


def true_lift(rows: list[dict]) -> np.ndarray:
    """The true effect of each row's arm on its user."""
    x = np.column_stack([column(rows, name) for name in ("visits", "orders", "age")])
    arm = np.array([1 + ARMS.index(row["arm"]) for row in rows])
    return offered_lift(x)[np.arange(len(rows)), arm]


def measure_simulated(
    db: Warehouse, offers: BatchExperiment, folder: Path, rows: list[dict], seed: int
) -> None:
    """Draw who buys after the list, and measure it."""
    p = 0.15 + 0.01 * column(rows, "visits") + np.where(column(rows, "treated"), true_lift(rows), 0.0)
    bought = np.random.default_rng(seed).random(len(rows)) < p
    file = folder / "outcomes.csv"
    lines = (f"{u},{int(y)}\n" for u, y in zip(column(rows, "user_id"), bought, strict=True))
    file.write_text("user_id,bought\n" + "".join(lines), encoding="ascii")
    date = rows[0]["decision_date"].isoformat()
    measure(db, offers, decision_date=date, file=file, absent_is_zero=False)
