"""Compare promise, measurement and truth over thirty nights of a campaign with known effects.

    python -m bench.campaign --folder FOLDER

Each experiment is a separate simulated RCT. Every night a list is written within a contact cap and
exported. Then each user's outcome is drawn with the user's true chance: that under treatment if the file
``treat`` names the user, else that under control. The list is measured by the file of these outcomes. An
interval is right if it contains the mean true effect of the users that it describes. A promise is
computed before, from the experiment's held-out users. Promises of one experiment share those users, so
the number of experiments limits how precisely their agreement is known.
"""

from __future__ import annotations

import argparse
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import track

from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.realised import measure
from dagster_project.decisions.records import ListKey
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export import ORDERS, export_treat_list, files_to_treat
from dagster_project.delivery.export_files import write_whole
from dagster_project.delivery.stores import LocalStore
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.opening import open_warehouse
from tests.support import folder_of, run_job, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.experiment.decision_rules import ContactCap, Decisions
from uplift_core.targeting.budget import Budget

FIRST = date(2026, 1, 1)
TRUTH = (
    "select comparison, count(*), avg(true_cate) as truth from ("
    "select case when decision = 'treat' then 'list' else 'explore' end as comparison, true_cate "
    "from decisions.treat_list as list join raw.simulated "
    "using (user_id) where decision_date = $date::date and list.treated) group by comparison"
)


def main() -> None:
    """Print how often intervals contained the truth, and how often promises agreed with outcomes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--experiments", type=int, default=10)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--users", type=int, default=40_000)
    parser.add_argument("--draws", type=int, default=1, help="campaigns of each experiment's models")
    chosen = parser.parse_args()
    rows, campaigns = [], []
    for seed in track(range(chosen.experiments), description="experiments"):
        experiment = _experiment(chosen.folder / "campaign", seed, chosen.users)
        for draw in range(chosen.draws):
            by_night, over_time = _campaign(chosen.folder / "campaign", experiment, draw, chosen.nights)
            rows += by_night
            campaigns.append(over_time)
    for comparison in ("list", "explore"):
        _report(comparison, [row for row in rows if row["comparison"] == comparison])
    for comparison in ("list", "explore", "choosing"):
        _report_over_time(comparison, [c[comparison] for c in campaigns])


Rows = list[dict[str, float]]


def _experiment(root: Path, seed: int, users: int) -> BatchExperiment:
    """Train an experiment's models."""
    shutil.rmtree(root, ignore_errors=True)
    folder = with_experiment(
        folder_of("simulated", n_users=users, seed=1000 + seed),
        decisions=Decisions(explore=0.05, contact_cap=ContactCap(treatments=2, days=7)),
    )
    layers = ("raw", "features", "assignment", "cells", "models", "scores", "evaluation", "thresholds")
    run_job(folder, root, only=layers)
    return folder


def _campaign(
    root: Path, trained: BatchExperiment, draw: int, nights: int
) -> tuple[Rows, dict[str, Rows]]:
    """Return what was realised by night, and by comparison what was realised until each night.

    Each draw of one experiment has its own holdout group, explorers and outcomes.
    """
    split = trained.declaration.split
    folder = with_experiment(trained, split=split.model_copy(update={"salt": f"{split.salt}/{draw}"}))
    rows = []
    rng = np.random.default_rng([trained.declaration.source.seed, draw])
    with open_warehouse(Home(root), memory_limit="2GB", threads=0) as db:
        for table in ("treat_list", "nights", *("realised", "measured", "realised_over_time")):
            db.rows(f"delete from decisions.{table}")
        for night in range(nights):
            rows += _night(db, folder, root, (FIRST + timedelta(days=night)).isoformat(), rng)
        over_time = db.arrow("from decisions.realised_over_time order by decision_date").to_pylist()
    return rows, _with_truth(over_time, rows)


def _with_truth(over_time: Rows, rows: Rows) -> dict[str, Rows]:
    """Add the true effect per treatment until each night, by comparison."""
    true = {(row["comparison"], row["decision_date"]): (row["n_true"], row["truth"]) for row in rows}
    dates = sorted({date for _, date in true})
    told: dict[str, Rows] = {"list": [], "explore": [], "choosing": []}
    for row in over_time:
        until = [date for date in dates if date <= row["decision_date"]]
        side = "explore" if row["comparison"] == "explore" else "list"
        weights = [true[side, date][0] for date in until]
        effects = [
            true[side, date][1] - (row["comparison"] == "choosing") * true["explore", date][1]
            for date in until
        ]
        told[str(row["comparison"])].append(row | {"truth": float(np.average(effects, weights=weights))})
    return told


def _night(
    db: Warehouse, experiment: BatchExperiment, root: Path, day: str, rng: np.random.Generator
) -> Rows:
    write_treat_list(
        db,
        experiment,
        ListOrder(decision_date=day, arm="treated", budget=Budget(share=0.1), override="simulation"),
        assign_roles,
    )
    key, store = ListKey(day, experiment.name, "treated"), LocalStore(root / "exports")
    formats = dict.fromkeys(ORDERS, ("parquet",))
    export_treat_list(db, store, key, write_sheet=write_whole, formats=formats)
    (treated,) = files_to_treat(store, key, "parquet")
    users = db.arrow(
        "select user_id, if(treat.rank is null, p0, p1) as p from raw.simulated "
        "left join read_parquet($treated) as treat using (user_id) order by user_id",
        {"treated": treated},
    )
    outcome = (rng.random(users.num_rows) < users.column("p").to_numpy()).astype(np.int8)
    file = root / "outcomes.parquet"
    pq.write_table(pa.table({"user_id": users.column("user_id"), "converted": outcome}), file)
    measure(db, experiment, decision_date=day, file=file, absent_is_zero=False)
    truth = {row[0]: row[1:] for row in db.rows(TRUTH, {"date": day})}
    rows = db.arrow("from decisions.realised where decision_date = $date::date", {"date": day})
    return [
        row | dict(zip(("n_true", "truth"), truth[row["comparison"]], strict=True))
        for row in rows.to_pylist()
    ]


def _report(comparison: str, rows: Rows) -> None:
    def mean(values: list[float]) -> str:
        return f"{np.mean(values):.4f}"

    def share(flags: list[bool]) -> str:
        p = float(np.mean(flags))
        return f"{p:.3f} ± {np.sqrt(p * (1 - p) / len(flags)):.3f} (one standard error)"

    print(
        f"{comparison}: {len(rows)} nights, about {mean([r['n_control'] for r in rows])} "
        "held-out users each"
    )
    print(
        f"  truth {mean([r['truth'] for r in rows])}, realised {mean([r['uplift'] for r in rows])}, ",
        end="",
    )
    print(f"promised {mean([r['promised'] for r in rows])}")
    print(
        "  95 % intervals that hold the truth: "
        f"{share([r['ci_low'] <= r['truth'] <= r['ci_high'] for r in rows])}"
    )
    print(f"  promise and measurement agree: {share([bool(r['agrees']) for r in rows])}")


def _report_over_time(comparison: str, campaigns: list[Rows]) -> None:
    """Print how often a campaign's intervals hold its truth: on its last night, and on all of them."""

    def told(flags: list[bool]) -> str:
        p = float(np.mean(flags))
        return f"{p:.3f} ± {np.sqrt(p * (1 - p) / len(flags)):.3f}"

    def hold(row: dict[str, float], low: str, high: str) -> bool:
        return row[low] <= row["truth"] <= row[high]

    print(f"{comparison} over time: {len(campaigns)} campaigns, ± one standard error")
    one = [hold(nights[-1], "ci_low", "ci_high") for nights in campaigns]
    every = [all(hold(row, "ci_low", "ci_high") for row in nights) for nights in campaigns]
    always = [all(hold(row, "sequence_low", "sequence_high") for row in nights) for nights in campaigns]
    print(f"  95 % intervals that hold the truth on the last night: {told(one)}, on all: {told(every)}")
    print(f"  confidence sequences that hold it on all nights: {told(always)}")
    last = [nights[-1] for nights in campaigns]
    narrower = [row["std_error"] / row["unadjusted_std_error"] for row in last]
    wider = [(row["sequence_high"] - row["uplift"]) / (row["ci_high"] - row["uplift"]) for row in last]
    print(
        f"  the adjusted interval is {np.mean(narrower):.3f} times as wide as the plain one, "
        f"the sequence {np.mean(wider):.2f} times as wide as the interval (means of last nights)"
    )


if __name__ == "__main__":
    main()
