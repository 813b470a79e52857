"""What many tests share: finished runs, hand-made tables, real files."""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import duckdb
import numpy as np
import pytest
from hypothesis import strategies as st

from dagster_project.assets import experiment_assets
from dagster_project.checks.dagster_checks import CHECK_FUNCTIONS
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.definitions import build_definitions
from dagster_project.onboarding import new_experiment
from dagster_project.resources import Engine
from dagster_project.settings import REPOSITORY, SQL_FOLDER, Settings
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.id_keys import use_id_key
from dagster_project.warehouse.opening import open_warehouse
from dagster_project.warehouse.schema import create_shared_tables
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer
from uplift_core.evaluation.groups import ScoreGroups
from uplift_core.experiment.declaration import Experiment, load_experiment
from uplift_core.experiment.user_ids import IdKey

ID_KEY = Path(__file__).with_name("id_key")  # so that users have the same numbers in each test run
TESTS_KEY = IdKey(bytes.fromhex(ID_KEY.read_text(encoding="ascii")))
EXPERIMENTS = SQL_FOLDER / "experiments"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
Open = Callable[[Path], duckdb.DuckDBPyConnection]  # the fixture `snapshot`
NIGHTLY = {"treat_list", "export"}
INPUTS = ("raw", "features", "assignment", "cells")
# From the file to what is published, but for the comparison with econml.
TO_PUBLISHED = (
    *(*INPUTS, "models", "scores", "evaluation", "model_card"),
    *("thresholds", "treat_list", "export", "published"),
)
PARTITION_START, PARTITION_END = (f"dagster/asset_partition_range_{end}" for end in ("start", "end"))
CRITEO_SAMPLE = "criteo-v2.1-sample-200k.csv.gz"
CRITEO_SHARES = {"control": 0.15, "treated": 0.85}
SMALL = 5_000  # users of the small simulated run
PROOFS = Home(Settings().home.absolute()).proofs  # of this test run's own home


def folder_of(name: str, **source: object) -> BatchExperiment:
    """A built-in experiment, with keys of its source replaced."""
    experiment = load_experiment(EXPERIMENTS / name)
    changed = experiment.model_copy(update={"source": experiment.source.model_copy(update=source)})
    return BatchExperiment.read(changed, EXPERIMENTS / name)


def with_experiment(experiment: BatchExperiment, **changes: object) -> BatchExperiment:
    """The same experiment with top-level keys of its declaration replaced."""
    return BatchExperiment.read(experiment.declaration.model_copy(update=changes), experiment.path)


def real_criteo() -> BatchExperiment:
    """Criteo's experiment on 200,000 real rows of its file."""
    experiment = folder_of("criteo")
    sample = real_file(folder_of("hillstrom").declaration).parent / CRITEO_SAMPLE
    declaration = experiment.declaration.with_file(sample, CRITEO_SHARES)
    return BatchExperiment.read(declaration, experiment.path)


def small_simulation() -> BatchExperiment:
    """The simulated experiment on few users, with leaves small enough to find effects among them."""
    experiment = folder_of("simulated", n_users=SMALL)
    learners = experiment.declaration.learners
    effect = learners.effect.model_copy(update={"min_leaf_events": 30})
    return with_experiment(experiment, learners=learners.model_copy(update={"effect": effect}))


def run_job(  # noqa: PLR0913 - each test needs a few
    experiment: BatchExperiment,
    home: Path,
    *,
    data_dir: Path | None = None,
    only: Sequence[str] = (),
    decision_date: str = "",
    until: str = "",
    job: str = "",
    config: Mapping[str, Mapping[str, object]] | None = None,
    raise_on_error: bool = True,
    memory_limit: str = "4GB",
    **cluster: Any,
) -> dg.ExecuteInProcessResult:
    """Materialize an experiment in process: all of it or the layers ``only``, or another job.

    ``config`` is run configuration by layer. Lists are made for ``decision_date``, today (UTC) if empty,
    or for all dates from there ``until``. ``cluster`` are settings of the cluster to run on.
    """
    share_proof(home)
    engine = Engine(
        home=str(home),
        data_dir=str(data_dir) if data_dir else None,
        threads=1,
        download=False,
        memory_limit=memory_limit,
        **cluster,
    )
    chosen = build_definitions([experiment], engine).resolve_job_def(job or f"uplift_{experiment.name}")
    ops = {f"{experiment.name}__{layer}": {"config": dict(c)} for layer, c in (config or {}).items()}
    night = decision_date or datetime.now(UTC).date().isoformat()
    selection = [dg.AssetKey([experiment.name, layer]) for layer in only] or None
    dates = {PARTITION_START: night, PARTITION_END: until} if until else {}
    has_date = not (until or job.startswith("outcomes_") or (only and not NIGHTLY & set(only)))
    return chosen.execute_in_process(
        run_config=QUIET | {"ops": ops},
        raise_on_error=raise_on_error,
        asset_selection=selection,
        partition_key=night if has_date else None,
        tags=dates,
    )


def share_proof(home: Path) -> None:
    """Let the runs of this home take the evaluator's proof that an earlier run of this code made.

    It is kept in UPLIFT_HOME of the tests, so runs of many homes and processes make it once.
    """
    link = Home(home).proofs
    PROOFS.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    if link.absolute() != PROOFS and not link.exists():
        link.symlink_to(PROOFS)


def evaluated(experiment: BatchExperiment, home: Home) -> Iterator[Warehouse]:
    """Run an experiment up to its evaluation; yield its warehouse, for a fixture."""
    run_unchecked(experiment, home.root, TO_PUBLISHED[: TO_PUBLISHED.index("thresholds")])
    with opened(home) as db:
        yield db


def run_unchecked(
    experiment: BatchExperiment, home: Path, layers: Sequence[str], **cluster: Any
) -> None:
    """Materialize layers without their checks, which take most of a small run."""
    engine = Engine(home=str(home), threads=1, download=False, **cluster)
    nightly = NIGHTLY & set(layers)
    assets = experiment_assets(experiment, engine.first_night)
    with mock.patch.dict(CHECK_FUNCTIONS, clear=True):
        dg.materialize(
            [asset for asset in assets if asset.key.path[-1] in layers],
            resources={"engine": engine},
            run_config=QUIET,
            partition_key=datetime.now(UTC).date().isoformat() if nightly else None,
        )


def few_rounds(experiment: BatchExperiment) -> BatchExperiment:
    """The same experiment with boosters that are soon grown."""
    learners = experiment.declaration.learners
    few = learners.outcome.model_copy(update={"rounds": 10})
    effect = learners.effect.model_copy(update={"rounds": 10})
    deep = few.model_copy(update={"rounds": 30, "max_depth": 3})  # or S would not see the arm
    changed = learners.model_copy(update={"outcome": few, "effect": effect, "s": deep})
    return with_experiment(experiment, learners=changed)


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A temporary folder of this test run, one for all of its processes."""
    folder = factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A finished home that all processes of a test run share: the first to ask makes it, others wait."""
    root = shared_folder(factory) / name
    home, done = root / "home", root / "done"
    home.mkdir(parents=True, exist_ok=True)
    with done.open("a") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        if not done.stat().st_size:
            make(home)
            mark.write("done")
    return home


def failure_text(result: dg.ExecuteInProcessResult) -> str:
    """What the first failed step told its user."""
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            data = event.step_failure_data
            if data.user_failure_data and data.user_failure_data.description:
                return data.user_failure_data.description
            return data.error.to_string() if data.error else ""
    raise AssertionError("no step failed")


def real_file(experiment: Experiment) -> Path:
    """The real source file; where it is missing, CI fails and a developer's run skips visibly."""
    name = experiment.source.filename
    places = [Path(p) for p in (os.environ.get("UPLIFT_DATA_DIR"),) if p]
    places.append(REPOSITORY.parent / "shared" / "data")
    for place in places:
        if (place / name).is_file():
            return place / name
    message = (
        f"the real {experiment.name} file {name} is in none of {[str(p) for p in places]}; "
        "set UPLIFT_DATA_DIR to the folder that holds it"
    )
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def open_snapshot(home: Path) -> duckdb.DuckDBPyConnection:
    """The current snapshot, read-only."""
    published = home / "published"
    return duckdb.connect(str(published / read_pointer(published).file), read_only=True)


def is_timestamp(type_: str) -> bool:
    """Whether a column says when a run was made rather than what came of it."""
    return type_.startswith("TIMESTAMP")


def memory_warehouse() -> Warehouse:
    """An empty warehouse in memory: all schemas and all shared tables."""
    db = Warehouse(duckdb.connect(":memory:", config={"threads": 2}))
    create_shared_tables(db)
    use_id_key(db, TESTS_KEY)
    return db


def make_table(db: Warehouse, table: str, columns: str, rows: Sequence[Sequence[object]]) -> None:
    """Create ``table`` with DDL ``columns`` and hand-made rows."""
    db.rows(f"create table {table} ({columns})")
    for row in rows:
        marks = ", ".join("?" for _ in row)
        db.con.execute(f"insert into {table} values ({marks})", list(row))


def dicts(db: Warehouse, sql: str, binds: Mapping[str, object] = {}) -> list[dict[str, object]]:
    """Rows of a query as dicts, in order."""
    return db.arrow(sql, binds).to_pylist()


def float32s(*, nan: bool = False) -> st.SearchStrategy[float]:
    """Finite float32 values of every size, with NaN if asked for."""
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    return finite | st.just(math.nan) if nan else finite


def edge_lists(max_size: int = 12) -> st.SearchStrategy[list[float]]:
    """Ascending, distinct float32 bin edges (0 and -0 are one)."""
    return st.lists(float32s(), min_size=1, max_size=max_size, unique_by=lambda v: v + 0.0).map(sorted)


@dataclass(frozen=True)
class Users:
    """Held-out users of one contrast, one entry each: what score groups are made of."""

    score: np.ndarray
    w: np.ndarray
    y: np.ndarray
    mu0: np.ndarray
    mu1: np.ndarray
    propensity: float

    def take(self, rows: np.ndarray) -> Users:
        """Some of them."""
        each = (getattr(self, name)[rows] for name in ("score", "w", "y", "mu0", "mu1"))
        return Users(*each, self.propensity)

    @property
    def phi(self) -> np.ndarray:
        """Doubly robust score of the effect."""
        return self.mu1 - self.mu0 + self.w * (self.y - self.mu1) / self.propensity - self.control_part

    @property
    def phi0(self) -> np.ndarray:
        """Doubly robust score of the outcome under control."""
        return self.mu0 + self.control_part

    @property
    def control_part(self) -> np.ndarray:
        """(1 - W)(Y - mu0)/(1 - e)."""
        return (1 - self.w) * (self.y - self.mu0) / (1 - self.propensity)

    def treated_share(self, budget: float) -> np.ndarray:
        """Share of each user that the best ``budget`` takes, user by user; ties share what is left."""
        above = (self.score[None, :] > self.score[:, None]).sum(axis=1)
        tied = (self.score[None, :] == self.score[:, None]).sum(axis=1)
        return np.clip((budget * len(self.score) - above) / tied, 0, 1)

    def permuted(self, order: np.ndarray) -> Users:
        """The same users in another order."""
        return Users(
            *(getattr(self, f.name)[order] for f in fields(self) if f.name != "propensity"),
            propensity=self.propensity,
        )

    def groups(self) -> ScoreGroups:
        """Their score groups, by plain numpy; sums are exact (math.fsum)."""
        order = np.argsort(-self.score, kind="stable")
        scores, starts = np.unique(-self.score[order], return_index=True)
        places = [*pairwise([*starts.tolist(), len(order)])]

        def sums(values: np.ndarray) -> np.ndarray:
            if len(places) == len(order):
                return values[order]
            listed = values[order].tolist()
            return np.asarray([math.fsum(listed[first:end]) for first, end in places])

        w, y = self.w, self.y
        return ScoreGroups(
            score=-scores,
            n=sums(np.ones(len(w))),
            n_treated=sums(w),
            y_treated=sums(w * y),
            y_control=sums((1 - w) * y),
            yy_treated=sums(w * y**2),
            yy_control=sums((1 - w) * y**2),
            phi=sums(self.phi),
            phi_sq=sums(self.phi**2),
            phi_cu=sums(self.phi**3),
            phi0=sums(self.phi0),
            phi0_sq=sums(self.phi0**2),
            phi0_phi=sums(self.phi0 * self.phi),
            propensity=self.propensity,
        )


def random_users(
    seed: int, n: int = 400, *, propensity: float = 0.5, levels: int = 0, binary: bool = True
) -> Users:
    """Users of a random RCT with imperfect models; ``levels`` > 0 ties scores to that many values."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n).astype(np.float32).astype(np.float64)
    if levels:
        score = np.floor(levels * rng.random(n)) / levels
    w = (rng.random(n) < propensity).astype(float)
    w[:2] = 0, 1
    chance = np.clip(0.3 + 0.1 * w * score, 0.02, 0.98)
    y = (rng.random(n) < chance).astype(float)
    y[:2] = 1, 1
    if not binary:
        y *= rng.gamma(2.0, 30.0, n)
    mu0, mu1 = 0.3 + 0.05 * rng.normal(size=n), 0.35 + 0.05 * rng.normal(size=n)
    return Users(score, w, y, mu0, mu1, propensity)


def opened(home: Home) -> AbstractContextManager[Warehouse]:
    """The warehouse of a home, with little of the machine."""
    return open_warehouse(home, memory_limit="500MB", threads=1)


def case_file(name: str) -> Path:
    """A file of the kind that people bring, beside the data folder; missing, CI fails."""
    places = [Path(p).parent / "cases" for p in (os.environ.get("UPLIFT_DATA_DIR"),) if p]
    places.append(REPOSITORY.parent / "shared" / "cases")
    for place in places:
        if (place / name).is_file():
            return place / name
    message = (
        f"{name} is in none of {[str(p) for p in places]}; set UPLIFT_DATA_DIR to the folder beside"
    )
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def run_households(home: Path) -> None:
    """Draft the experiment of households into the home's folder, and run it."""
    with mock.patch.dict(os.environ, UPLIFT_EXPERIMENTS=str(home / "experiments")):
        new_experiment.main([str(case_file("households.csv.gz")), "households"])
    run_job(few_rounds(drafted_households(home)), home, only=TO_PUBLISHED)


def drafted_households(home: Path) -> BatchExperiment:
    """The drafted experiment of households."""
    folder = home / "experiments" / "households"
    return BatchExperiment.read(load_experiment(folder), folder)


OFFER_COSTS = {"call": 1.0, "mail": 0.5, "gift": 0.25}


def run_offers(home: Path) -> None:
    """Draft an experiment of three offers that suit different users, and run it in the home."""
    file = home / "offers.csv"
    home.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="ascii") as lines:
        lines.write("customer,visits,orders,age,offer,bought\n")
        lines.writelines(_offered_users(8_000))
    with mock.patch.dict(os.environ, UPLIFT_EXPERIMENTS=str(home / "experiments")):
        shares = "none=0.4 call=0.2 mail=0.2 gift=0.2"
        options = ["--control", "none", "--shares", shares, "--outcome", "bought", "--id", "customer"]
        new_experiment.main([str(file), "offers", "--arm", "offer", *options])
    layers = [*TO_PUBLISHED[: TO_PUBLISHED.index("model_card")], "multi_arm", *TO_PUBLISHED[7:]]
    run_job(offers_experiment(home), home, only=layers)


def offers_experiment(home: Path) -> BatchExperiment:
    """The drafted experiment of offers, with their costs."""
    folder = home / "experiments" / "offers"
    drafted = few_rounds(BatchExperiment.read(load_experiment(folder), folder))
    arms = [
        arm.model_copy(update={"cost": OFFER_COSTS.get(arm.name, 0.0)})
        for arm in drafted.declaration.arms
    ]
    return with_experiment(drafted, arms=tuple(arms))


def offered_lift(x: np.ndarray) -> np.ndarray:
    """The true effect of no offer, call, mail and gift on users with visits, orders and age ``x``."""
    suits = x >= 5
    return np.column_stack([np.zeros(len(x)), suits * [0.45, 0.35, 0.25] - ~suits * [0.0, 0.02, 0.05]])


def _offered_users(n: int) -> Iterator[str]:
    rng = np.random.default_rng(7)
    x = rng.integers(0, 10, (n, 3))
    arms = ["none", *OFFER_COSTS]
    offer = rng.choice(4, n, p=[0.4, 0.2, 0.2, 0.2])
    bought = rng.random(n) < 0.15 + 0.01 * x[:, 0] + offered_lift(x)[np.arange(n), offer]
    for i in range(n):
        yield f"{100_000 + i},{x[i, 0]},{x[i, 1]},{x[i, 2]},{arms[offer[i]]},{int(bought[i])}\n"
