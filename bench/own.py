"""A team's own experiment, from its csv to the published list: how long it takes, step by step.

    python -m bench.own --folder FOLDER [--users 344000] [--arms 5]

The generated file looks like a real campaign with several treatments: numbers, texts and dates, some
values missing, one effect that differs between users. It is declared by ``new_experiment`` and run by
``make run``, each in a fresh home.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from bench.machine import busy_seconds
from dagster_project.settings import REPOSITORY

NAME = "own_campaign"
YOUNG = 40  # the treatments work below this age
CITIES = [f"city {i:02d}" for i in range(30)]


def campaign(n_users: int, n_arms: int, seed: int = 1) -> pa.Table:
    """Generate a campaign with a control and ``n_arms`` - 1 treatments."""
    rng = np.random.default_rng(seed)

    def some(share: float) -> npt.NDArray[np.bool_]:
        return rng.random(n_users) < share

    arm = rng.integers(0, n_arms, n_users)
    age, visits = rng.integers(18, 80, n_users), rng.poisson(3.0, n_users)
    spend = np.round(rng.lognormal(3.0, 1.0, n_users), 2)
    channel = rng.choice(["web", "app", "store", "phone"], n_users, p=[0.4, 0.3, 0.2, 0.1])
    since = np.datetime64("2020-01-01") + rng.integers(0, 2000, n_users).astype("timedelta64[D]")
    baseline = 0.05 + 0.01 * np.minimum(visits, 8) + 0.03 * (channel == "app")
    effect = np.where(age < YOUNG, 0.03, 0.0) * (arm > 0) * (1 + 0.2 * arm)
    bought = rng.random(n_users) < baseline + effect
    table = pa.table(
        {
            "customer": [f"c{i:08d}" for i in range(n_users)],
            "age": pa.array(age, mask=some(0.05)),
            "visits": visits,
            "spend_last_year": spend,
            "baskets": rng.poisson(2.0, n_users),
            "discount_share": np.round(rng.beta(2, 5, n_users), 3),
            "newsletter": some(0.3),
            "premium": some(0.1),
            "channel": channel,
            "city": rng.choice(CITIES, n_users),
            "customer_since": since,
            "offer": np.where(arm == 0, "control", np.char.add("offer ", arm.astype(str))),
            "bought": bought.astype(int),
        }
    )
    return table.combine_chunks()


def main() -> int:
    """Generate, declare and run; print the seconds of each. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--users", type=int, default=344_000)
    parser.add_argument("--arms", type=int, default=5)
    chosen = parser.parse_args()
    folder = chosen.folder / "own"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file = folder / "campaign.csv"
    csv.write_csv(campaign(chosen.users, chosen.arms), file)
    environment = os.environ | {
        "UPLIFT_HOME": str(folder / "home"),
        "UPLIFT_EXPERIMENTS": str(folder / "experiments"),
    }
    declare = [
        *(sys.executable, "-m", "dagster_project.onboarding.new_experiment", str(file), NAME),
        *("--id", "customer", "--arm", "offer", "--control", "control", "--outcome", "bought"),
    ]
    print(f"{chosen.users:,} users, {chosen.arms} arms, {file.stat().st_size / 1e6:.0f} MB", flush=True)
    for name, command in (
        ("new-experiment", declare),
        ("make run", ["make", "run", f"EXPERIMENTS={NAME}"]),
    ):
        began, busy = time.monotonic(), busy_seconds()
        ended = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False)  # noqa: S603
        seconds = time.monotonic() - began
        print(f"{name}: {seconds:.0f} s, {(busy_seconds() - busy) / seconds:.1f} cores busy", flush=True)
        if ended.returncode:
            return ended.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
