"""Tell how often intervals and confidence sequences of realised effects hold a known truth over nights.

    python -m bench.realised

Each campaign has its own users. A part of them is held out for good and a part is treated by chance; of
the others the score chooses whom to treat, anew each night. Users differ in their chance of the outcome,
and keep it, so their nights go together; models know a part of it. In the second design nights exclude
each other: who had the outcome does not have it again. The effect of a treatment follows the score and
fades over the nights. Outcomes are written as those of measured lists, and measured as they are.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from rich.progress import track

from dagster_project.decisions.over_time import measure_over_time
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from tests.support import folder_of, memory_warehouse

FIRST = date(2026, 1, 1)
HELD_OUT, EXPLORED = 0.05, 0.08  # below the first a draw holds out, below the second it explores
COMPARISONS = ("list", "explore", "choosing")
ROWS = (
    "select nights, treatments, uplift, std_error, unadjusted_std_error, ci_low, ci_high, "
    "sequence_low, sequence_high from decisions.realised_over_time where comparison = $comparison "
    "order by decision_date"
)


@dataclass(frozen=True)
class Design:
    """How large a campaign is, and whether a user has the outcome at most once."""

    users: int
    nights: int
    once: bool


def main() -> None:
    """Print the figures of both designs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=400)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--users", type=int, default=4_000)
    chosen = parser.parse_args()
    experiment = folder_of("simulated")
    for once in (False, True):
        design = Design(chosen.users, chosen.nights, once)
        told = [
            _campaign(experiment, design, seed)
            for seed in track(range(chosen.campaigns), description="at most once" if once else "again")
        ]
        print("users have the outcome " + ("at most once" if once else "again and again"))
        for comparison in COMPARISONS:
            _report(comparison, [campaign[comparison] for campaign in told])


Figures = dict[str, np.ndarray]


def _campaign(experiment: BatchExperiment, design: Design, seed: int) -> dict[str, Figures]:
    """Return what one campaign realised until each night, with the truth, by comparison."""
    rng, db = np.random.default_rng([design.once, seed]), memory_warehouse()
    users = design.users
    draw, score = rng.random(users), rng.random(users)
    part = np.where(draw < HELD_OUT, "holdout", np.where(draw < EXPLORED, "explore", "treat"))
    base = 0.02 + 0.3 * rng.random(users) ** 3
    expected = base + 0.03 * rng.standard_normal(users)
    had = np.zeros(users, dtype=bool)
    # Chances that a user has not had the outcome yet, if treated as planned and if held out.
    free_treated, free_held_out = np.ones(users), np.ones(users)
    effects: dict[str, list[float]] = {"list": [], "explore": []}
    for night in range(design.nights):
        selected = score + 0.3 * rng.standard_normal(users) > 0.8  # noqa: PLR2004 - about a fifth
        effect = 0.12 * score * (1 - night / (2 * design.nights))
        treated = (part == "explore") | (selected & (part == "treat"))
        free = ~had if design.once else np.ones(users, dtype=bool)
        y = free & (rng.random(users) < base + effect * treated)
        with_it = base + effect * treated
        added = free_treated * with_it - free_held_out * base
        for side, chosen in (("list", selected & (part == "treat")), ("explore", part == "explore")):
            effects[side].append(float(added[chosen].mean()))
        had |= y
        if design.once:
            free_treated, free_held_out = free_treated * (1 - with_it), free_held_out * (1 - base)
        compared = (part != "treat") | selected
        columns = {"part": part, "selected": selected, "y": y.astype(float), "expected": expected}
        columns |= {"user_id": np.arange(users)}
        _keep(db, FIRST + timedelta(days=night), {n: c[compared] for n, c in columns.items()})
    measure_over_time(db, experiment, str(FIRST))
    rows = {c: db.arrow(ROWS, {"comparison": c}).to_pydict() for c in COMPARISONS}
    db.con.close()
    return {
        c: _with_truth(c, {n: np.array(v) for n, v in rows[c].items()}, effects) for c in COMPARISONS
    }


def _keep(db: Warehouse, day: date, columns: Figures) -> None:
    with db.relation("kept", pa.table(columns)):
        db.rows(
            "insert into decisions.measured by name select *, $day::date as decision_date, "
            "'simulated' as experiment, 'c' as campaign, 'converted' as outcome from kept",
            {"day": str(day)},
        )


def _with_truth(comparison: str, figures: Figures, effects: dict[str, list[float]]) -> Figures:
    """Add the true effect per treatment until each night."""
    side = "explore" if comparison == "explore" else "list"
    weights = np.diff(figures["treatments"], prepend=0)
    effect = np.array(effects[side])
    if comparison == "choosing":
        effect = effect - np.array(effects["explore"])
    return figures | {"truth": np.cumsum(weights * effect) / np.cumsum(weights)}


def _report(comparison: str, campaigns: list[Figures]) -> None:
    def share(flags: np.ndarray) -> str:
        p = float(flags.mean())
        return f"{p:.3f} ± {np.sqrt(p * (1 - p) / len(flags)):.3f}"

    def inside(low: str, high: str) -> np.ndarray:
        return np.array([(c[low] <= c["truth"]) & (c["truth"] <= c[high]) for c in campaigns])

    one, sequence = inside("ci_low", "ci_high"), inside("sequence_low", "sequence_high")
    last = [{name: values[-1] for name, values in c.items()} for c in campaigns]
    narrower = np.mean([row["std_error"] / row["unadjusted_std_error"] for row in last])
    wider = np.mean(
        [(row["sequence_high"] - row["uplift"]) / (row["ci_high"] - row["uplift"]) for row in last]
    )
    print(
        f"  {comparison}: intervals hold the truth on the last night {share(one[:, -1])}, on all nights "
        f"{share(one.all(axis=1))}; sequences on all nights {share(sequence.all(axis=1))}; "
        f"width adjusted / plain {narrower:.3f}, sequence / interval {wider:.2f}"
    )


if __name__ == "__main__":
    main()
