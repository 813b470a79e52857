"""A file of Criteo's shape, from csv.gz to the published list; whole, in parts, and killed half-way."""

from __future__ import annotations

import gzip
import itertools
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.sources.lookalike import truth_of, write_lookalike
from dagster_project.warehouse.connection import Warehouse
from tests.support import (
    CRITEO_SHARES,
    INPUTS,
    TO_PUBLISHED,
    few_rounds,
    folder_of,
    opened,
    run_job,
    with_experiment,
)
from uplift_core.artifacts.home import Home

ROWS, FEW = 300_000, 20_000
MEMORY = "300MB"  # of DuckDB
IN_PYTHON = 0.85  # of what the file takes in pandas
BINS = 16  # so that few rows fall into few cells, as millions do into 64 bins

# Runs layers up to the one that creates a table, and kills itself before that can be committed.
KILLED = """
import os, signal, sys
from pathlib import Path
from dagster_project.warehouse.connection import Warehouse
from tests.e2e.test_criteo import on_file
from tests.support import few_rounds, run_job

home, file, table, layer = sys.argv[1:]
create = Warehouse.create

def create_and_die(self, target, select, binds={}):
    rows = create(self, target, select, binds)
    if str(target) == table:
        os.kill(os.getpid(), signal.SIGKILL)
    return rows

Warehouse.create = create_and_die
run_job(few_rounds(on_file(Path(file))), Path(home), only=[layer])
"""


def on_file(path: Path) -> BatchExperiment:
    """Criteo's experiment on a look-alike's file."""
    experiment = folder_of("criteo")
    declaration = experiment.declaration.with_file(path, CRITEO_SHARES)
    learners = experiment.declaration.learners.model_copy(update={"max_bins": BINS})
    return with_experiment(
        experiment, source=declaration.source, arms=declaration.arms, published=None, learners=learners
    )


@contextmanager
def peak_of_python() -> Iterator[list[int]]:
    """Measure the peak of Python's memory, bytes: objects, arrays, the largest table out of DuckDB."""
    arrow, largest, peaks = Warehouse.arrow, 0, []

    def watched(self: Warehouse, sql: str, binds: Mapping[str, object] = {}) -> pa.Table:
        nonlocal largest
        table = arrow(self, sql, binds)
        largest = max(largest, table.nbytes)
        return table

    tracemalloc.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Warehouse, "arrow", watched)
            yield peaks
        peaks.append(tracemalloc.get_traced_memory()[1] + largest)
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("criteo") / "criteo-like.csv.gz"
    write_lookalike(ROWS, path)
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("published")
    few = folder / "few.csv.gz"
    write_lookalike(FEW, few)
    run_job(few_rounds(on_file(few)), folder / "home", only=TO_PUBLISHED)
    return folder / "home", few


@pytest.fixture(scope="module")
def run(
    file: Path,
    published: tuple[Path, Path],  # the smaller run comes first, so that imports are not counted
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, int]:
    """The finished run's home, and the peak of Python's memory, bytes."""
    home = tmp_path_factory.mktemp("finished")
    with peak_of_python() as peak:
        run_job(on_file(file), home, only=TO_PUBLISHED, memory_limit=MEMORY)
    return home, peak[0]


@pytest.fixture(scope="module")
def finished(run: tuple[Path, int]) -> Path:
    return run[0]


def test_no_step_holds_the_rows_in_python(file: Path, run: tuple[Path, int]) -> None:
    with peak_of_python() as whole:
        assert len(pd.read_csv(file)) == ROWS
    assert run[1] < IN_PYTHON * whole[0]


def test_every_user_is_scored_and_the_list_is_exact(finished: Path) -> None:
    with opened(Home(finished)) as db:
        assert db.one("select count(*), count(distinct user_id) from scores.criteo") == (ROWS, ROWS)
        lists = "select count(*) filter (treated), count(*) from decisions.treat_list"
        assert db.one(lists) == (round(0.3 * ROWS), ROWS)
        (cells,) = db.one("select count(*) from training.criteo_cells")
    assert cells < 0.6 * ROWS


def test_the_estimated_effect_is_the_true_one(file: Path, finished: Path) -> None:
    truth = pq.read_table(truth_of(file))
    with opened(Home(finished)) as db:
        with db.relation("truth", truth):
            ate, visit, conversion = db.one(
                "select corr(cate_x, visit_effect), avg(visit_effect), avg(conversion_effect) "
                "from truth join scores.criteo using (user_id) where split = 'holdout'"
            )
        figures = db.rows(
            "select outcome, value, std_error from evaluation.metrics "
            "where metric = 'ate' and learner = 'x'"
        )
    assert ate > 0.4
    for outcome, value, error in figures:
        true = {"visit": visit, "conversion": conversion}[outcome]
        assert abs(value - true) < 3.5 * error, outcome


def test_exposure_is_loaded_and_no_feature(finished: Path) -> None:
    with opened(Home(finished)) as db:
        assert "exposure" in {row[0] for row in db.rows("describe raw.criteo")}
        assert {row[0] for row in db.rows("describe features.criteo")} == {
            "user_id",
            *(f"f{i}" for i in range(12)),
        }


def test_four_parts_give_the_cells_of_the_whole(file: Path, finished: Path, tmp_path: Path) -> None:
    header, *lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    ends = (0, 50_000, 120_000, 120_001, ROWS)
    for part, (first, last) in enumerate(itertools.pairwise(ends)):
        content = b"".join([header, *lines[first:last]])
        (tmp_path / f"part-{part}.csv.gz").write_bytes(gzip.compress(content, 1))
    home = tmp_path / "home"
    run_job(on_file(tmp_path / "part-*.csv.gz"), home, only=INPUTS)
    tables = ("training.criteo_cells", "training.edges")
    tables_of_runs = []
    for place in (finished, home):
        with opened(Home(place)) as db:
            tables_of_runs.append([db.rows(f"from {table} order by all") for table in tables])
    assert tables_of_runs[0] == tables_of_runs[1]


@pytest.mark.parametrize(
    ("table", "layer"),
    [
        ('"raw"."criteo"', "raw"),
        ('"training"."criteo_user_cells"', "cells"),
        ('"scores"."criteo"', "scores"),
    ],
)
def test_a_killed_run_leaves_what_was_and_the_next_completes(
    published: tuple[Path, Path], table: str, layer: str
) -> None:
    home, few = published
    before = {p.name: p.read_bytes() for p in (home / "published").iterdir()}
    with opened(Home(home)) as db:
        rows = db.rows(f"from {table} order by all")
    call = [sys.executable, "-c", KILLED, str(home), str(few), table, layer]
    killed = subprocess.run(call, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert {p.name: p.read_bytes() for p in (home / "published").iterdir()} == before
    with opened(Home(home)) as db:
        assert db.rows(f"from {table} order by all") == rows
    assert run_job(few_rounds(on_file(few)), home, only=TO_PUBLISHED).success
