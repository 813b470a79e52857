"""Three experiments that are not built in, with known truth."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

OFFERS = {"Control": 0.4, "10 % off": 0.2, "20 % off": 0.2, "Free Shipping": 0.1, "Gift!": 0.1}
START = datetime(2026, 1, 1)  # noqa: DTZ001 - files have no zones


def offers(n: int = 4_000) -> tuple[pa.Table, np.ndarray]:
    """Five arms of unequal share, texts, a heavy-tailed outcome; the true effect of any offer."""
    rng = np.random.default_rng(1)
    segment = rng.choice(["new", "old", "vip"], n, p=[0.5, 0.3, 0.2])
    arm = rng.choice(list(OFFERS), n, p=list(OFFERS.values()))
    spend = rng.lognormal(1.0, 1.2, n)  # the largest of 4,000 is some 50 times the mean
    effect = np.select([segment == "vip", segment == "old"], [8.0, 0.0], -1.0)
    columns = {
        "Customer ID": [f"c-{i:05d}" for i in range(n)],
        "Age": rng.integers(2, 8, n) * 10,
        "Home town": rng.choice([f"O'{i}ville" for i in range(20)], n),
        "segment type": segment,
        "Premium": rng.random(n) < 0.3,
        "offer": arm,
        "Spend ($)": np.round(spend + effect * (arm != "Control"), 2),
    }
    return pa.table(columns), effect


def rare(n: int = 40_000) -> tuple[pa.Table, float]:
    """Two arms 70/30, an outcome of 0.5 %; the true mean effect."""
    rng = np.random.default_rng(2)
    visits, web = rng.poisson(1.0, n), rng.random(n) < 0.5
    treated = rng.random(n) < 0.7
    lift = np.where(web, 0.004, 0.0)
    bought = rng.random(n) < 0.003 + lift * treated
    columns = {
        "user_id": np.arange(n) + 1_000_000,
        "past_visits": visits,
        "web": web,
        "treatment": treated.astype(int),
        "converted": bought.astype(int),
    }
    return pa.table(columns), float(lift.mean())


def timed(n: int = 3_000) -> tuple[pa.Table, pa.Table, np.ndarray]:
    """Users assigned over time, the history of their balance with late corrections, the balance then."""
    rng = np.random.default_rng(3)
    assigned = [START + timedelta(hours=int(h)) for h in rng.integers(24, 24 * 30, n)]
    balance = rng.normal(0, 1, n).round(3)
    treated = rng.random(n) < 0.5
    bought = rng.random(n) < 0.2 + 0.15 * treated * (balance > 0)
    users = pa.table(
        {
            "member_id": np.arange(n),
            "age": rng.integers(18, 80, n),
            "assigned_at": assigned,
            "variant": np.where(treated, "B", "A"),
            "purchased": bought,
        }
    )
    ids = np.tile(np.arange(n), 3)
    known = [a - timedelta(hours=20) for a in assigned] + [a - timedelta(hours=1) for a in assigned]
    known += [a + timedelta(days=3) for a in assigned]  # a correction that knows the outcome
    values = np.concatenate([balance - 9, balance, 100.0 * bought])
    return users, pa.table({"member_id": ids, "known_at": known, "balance": values}), balance


TIMED_FEATURES = """select
    users.user_id,
    users.age::float as age, -- years
    past.balance::float as balance -- account at the moment of the assignment
from raw.timed as users
asof left join raw.timed_past as past
    on users.user_id = past.user_id and users.assigned_at >= past.known_at
"""


def add_history(folder: Path) -> None:
    """What the walk-through says about files with a history."""
    declaration = folder / "experiment.toml"
    table = '\n[tables.past]\npath = "past.parquet"\navailable_at = "known_at"\n'
    declaration.write_text(declaration.read_text() + table)
    (folder / "features.sql").write_text(TIMED_FEATURES)
