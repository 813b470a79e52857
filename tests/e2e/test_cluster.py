"""The same run on Dask's workers: equal to the bit, also when workers are killed."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest.mock import patch

import duckdb
import pytest

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

from dagster_project.compute.cluster import dask_client as client
from dagster_project.compute.cluster.dask_client import Workers
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.sources.lookalike import write_lookalike
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from tests.e2e.test_criteo import on_file
from tests.serve.equality import assert_batch_equals_table
from tests.serve.support import api_of
from tests.support import failure_text, few_rounds, opened, run_job, run_unchecked
from uplift_core.artifacts.home import Home

ROWS = 100_000
INPUTS = ("raw", "features", "assignment", "cells")
SCORED = (*INPUTS, "models", "scores")
LAYERS = (*SCORED, "evaluation", "thresholds", "treat_list", "export", "published")
TABLES = (
    *("raw.criteo", "features.criteo", "assignment.criteo", "training.edges", "quality.profiles"),
    *("training.criteo_feature_cells", "training.criteo_cells", "training.criteo_predictions"),
    "scores.criteo",
)
RESULTS = (
    *("decisions.thresholds", "decisions.treat_list", "evaluation.metrics", "evaluation.deciles"),
    *("evaluation.policy_value", "evaluation.qini_curve", "evaluation.comparisons"),
    "evaluation.calibration",
)
LOCAL = {"cluster": "local", "cluster_workers": 2, "cluster_users": 4_000}
# Which task kills its worker, and in the middle of what: a file that is written but not in its place
# yet, a booster.
KILLS = {
    "criteo-cells": "uplift_core.artifacts.files.sync_file",
    "criteo-train": "xgboost.train",
    "criteo-scores": "uplift_core.artifacts.files.sync_file",
    "criteo-rank": "uplift_core.artifacts.files.sync_file",
    "criteo-export-decisions": "uplift_core.artifacts.files.sync_file",
}


@pytest.fixture(scope="module", autouse=True)
def _no_workers_left() -> Iterator[None]:
    yield
    client.disconnect()


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> BatchExperiment:
    """Criteo's experiment on a look-alike in parts of different sizes."""
    place = tmp_path_factory.mktemp("parts")
    whole = place / "criteo-like.csv.gz"
    write_lookalike(ROWS, whole)
    header, *lines = gzip.decompress(whole.read_bytes()).splitlines(keepends=True)
    ends = (0, 30_000, 30_001, 55_000, 75_000, ROWS)
    for part, (first, last) in enumerate(itertools.pairwise(ends)):
        content = b"".join([header, *lines[first:last]])
        (place / f"part-{part}.csv.gz").write_bytes(gzip.compress(content, 1))
    return few_rounds(on_file(place / "part-*.csv.gz"))


@pytest.fixture(scope="module")
def single(experiment: BatchExperiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("single")
    run_unchecked(experiment, home, LAYERS)
    return home


def killing_once(task: Callable[..., object], mark: str, what: str, *call: object) -> object:
    """The task; the first time, its process is killed when it comes to ``what``."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return task(*call)
    with patch(what, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)):
        return task(*call)


@pytest.fixture(scope="module")
def clustered(experiment: BatchExperiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that two workers made, each of which was killed and started anew now and then."""
    marks, home = tmp_path_factory.mktemp("marks"), tmp_path_factory.mktemp("clustered")
    run = Workers.run

    def run_and_kill(self: Workers, what: str, task: Callable, calls: list[tuple]) -> list:
        if what in KILLS:
            task = partial(killing_once, task, str(marks / what), KILLS[what])
        return run(self, what, task, calls)

    with patch.object(Workers, "run", run_and_kill):
        run_job(experiment, home, only=LAYERS, **LOCAL)
    assert {mark.name for mark in marks.iterdir()} == KILLS.keys()
    return home


def contents(home: Path, tables: tuple[str, ...]) -> dict[str, tuple]:
    """Rows of each table and a digest that no order changes; but when a run was."""
    with opened(Home(home)) as db:
        return {table: digest(db, table) for table in tables}


def digest(db: Warehouse, table: str) -> tuple:
    return db.one(f"select count(*), sum(md5_number_lower(t::varchar)) from (from {table}) as t")


def models(home: Path) -> dict[str, bytes]:
    """Every file of every bundle, whose version is its content."""
    root = home / "bundles"
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_cells_scores_and_models_are_those_of_one_machine(single: Path, clustered: Path) -> None:
    assert contents(clustered, TABLES) == contents(single, TABLES)
    assert models(clustered) == models(single)


def test_figures_thresholds_and_the_list_are_those_of_one_machine(single: Path, clustered: Path) -> None:
    assert contents(clustered, RESULTS) == contents(single, RESULTS)


def exported(home: Path, name: str) -> list[Path]:
    """The files of a name, in the manifest's order; all files are what the manifest says of them."""
    (manifest,) = home.glob("exports/*/*/*/manifest.json")
    entries = json.loads(manifest.read_text())["files"]
    for entry in entries:
        content = (manifest.parent / entry["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert len(content) == entry["bytes"]
    files = [manifest.parent / entry["path"] for entry in entries]
    return [file for file in files if re.sub(r"-\d+", "", file.name) == name]


@pytest.mark.parametrize("name", ["treat", "decisions", "changes", "holdout"])
def test_exported_parts_one_after_the_other_are_the_file_of_one_machine(
    single: Path, clustered: Path, name: str
) -> None:
    for home, several in ((single, False), (clustered, name != "changes")):
        assert (len(exported(home, f"{name}.parquet")) > 1) == several
    lines = [
        [line for file in exported(home, f"{name}.csv") for line in file.read_text().splitlines()[1:]]
        for home in (single, clustered)
    ]
    assert lines[0] == lines[1]
    with duckdb.connect() as con:
        rows = [
            con.execute("from read_parquet($files)", {"files": [str(f) for f in files]}).to_arrow_table()
            for files in (exported(home, f"{name}.parquet") for home in (single, clustered))
        ]
    assert rows[0].equals(rows[1])


def test_the_api_answers_from_views_as_the_batch_scored(clustered: Path) -> None:
    with opened(Home(clustered)) as db:
        assert db.kind(Identifier.of("scores", "criteo")) == "VIEW"
    with api_of(clustered) as api:
        assert_batch_equals_table(api, clustered, "criteo", 1_000)


def test_killed_workers_leave_nothing_half_written(clustered: Path) -> None:
    assert not list(clustered.rglob(".part-*"))


LONE_CLUSTER = """
import time
from distributed import LocalCluster
cluster = LocalCluster(
    n_workers=1,
    processes=False,
    protocol="tcp",
    host="127.0.0.1",
    dashboard_address="127.0.0.1:0",
    silence_logs=50,
)
print(cluster.scheduler_address, flush=True)
time.sleep(600)
"""


def test_a_lost_scheduler_is_told_and_leaves_what_is_published(
    experiment: BatchExperiment, clustered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = {p: p.read_bytes() for p in (clustered / "published").iterdir()}
    parts = set((clustered / "partitions").rglob("*.parquet"))
    with subprocess.Popen(
        [sys.executable, "-c", LONE_CLUSTER], stdout=subprocess.PIPE, text=True
    ) as lone:
        address = lone.stdout.readline().strip()
        run = Workers.run

        def run_and_lose(self: Workers, what: str, task: Callable, calls: list[tuple]) -> list:
            if what == "criteo-features":
                lone.kill()
            return run(self, what, task, calls)

        monkeypatch.setattr(Workers, "run", run_and_lose)
        result = run_job(
            experiment, clustered, only=("features",), cluster=address, raise_on_error=False
        )
    assert f"the Dask scheduler {address} was lost" in failure_text(result)
    assert {p: p.read_bytes() for p in (clustered / "published").iterdir()} == published
    assert set((clustered / "partitions").rglob("*.parquet")) >= parts
    with opened(Home(clustered)) as db:
        assert db.one("select count(*) from features.criteo") == (ROWS,)
