"""An experiment of a file with text ids, as the documented steps make it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.onboarding import new_experiment
from tests.support import few_rounds, opened, run_unchecked
from uplift_core.artifacts.home import Home
from uplift_core.experiment.declaration import load_experiment

N = 2_000
WHOM = 1234
ID = f"customer-{WHOM:06}"
CANARIES = ("canary-name-zq81", "canary-street-xw42", "canary-note-vk37")
INPUTS = ("raw", "features", "assignment", "cells", "models", "scores", "thresholds")
LISTS = ("treat_list", "export", "published")
FILE = "customers.csv"


def write_file(path: Path) -> None:
    rng = np.random.default_rng(11)
    age, mailed = rng.integers(18, 80, N), rng.random(N) < 0.5
    columns: dict[str, object] = {
        "customer": [f"customer-{i:06}" for i in range(N)],
        "age": age,
        "orders": rng.poisson(2.0, N),
        "group": np.where(mailed, "mail", "control"),
        "visit": (rng.random(N) < 0.2 + 0.2 * mailed * (age > 50)).astype(int),
    }
    for name, canary in zip(("name", "street", "note"), CANARIES, strict=True):
        columns[name] = [canary if i == WHOM else f"{name} of {i}" for i in range(N)]
    pc.write_csv(pa.table(columns), path)


def shop_of(root: Path) -> BatchExperiment:
    """The experiment, with few rounds."""
    folder = root / "own" / "shop"
    return few_rounds(BatchExperiment.read(load_experiment(folder), folder))


def make_shop(root: Path) -> None:
    """Make the folder of the experiment, and a home with a list, published twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPLIFT_EXPERIMENTS", str(root / "own"))
        write_file(root / FILE)
        new_experiment.main(
            [str(root / FILE), "shop", "--id", "customer", "--shares", "control=0.5,mail=0.5"]
        )
    experiment = shop_of(root)
    run_unchecked(experiment, root / "uplift", [*INPUTS, *LISTS])
    home = Home(root / "uplift")
    with opened(home) as db:
        (number,) = db.one("select user_id from raw.shop where customer = $id", {"id": ID})
        db.rows(
            "insert into decisions.suppressions values ('shop', $user, $id, null)",
            {"user": number, "id": ID},
        )
    run_unchecked(experiment, root / "uplift", ["published"])
