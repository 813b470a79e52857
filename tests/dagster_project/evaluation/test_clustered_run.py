"""A run of an experiment that declares clusters: errors are those of clusters; the card tells them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import numpy as np
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.figures import evaluate, few_clusters, summary_markdown
from dagster_project.evaluation.placebo import read_train_users
from dagster_project.scores.predictions import SCORES
from dagster_project.warehouse.connection import Warehouse
from tests.support import (
    EXPERIMENTS,
    dicts,
    evaluated,
    few_rounds,
    folder_of,
    with_experiment,
)
from uplift_core.artifacts.home import Home

HOUSEHOLDS = 700
USERS = 2_000


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> BatchExperiment:
    """The simulated experiment with a household of each user."""
    folder = tmp_path_factory.mktemp("experiment") / "simulated"
    shutil.copytree(EXPERIMENTS / "simulated", folder)
    raw = (folder / "raw.sql").read_text(encoding="utf-8")
    household = f"row_number() over () % {HOUSEHOLDS} as household,\n    treated::integer as treated,"
    (folder / "raw.sql").write_text(raw.replace("treated::integer as treated,", household))
    declared = with_experiment(few_rounds(folder_of("simulated", n_users=USERS)), cluster="household")
    return BatchExperiment.read(declared.declaration, folder)


@pytest.fixture(scope="module")
def db(experiment: BatchExperiment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    yield from evaluated(experiment, Home(tmp_path_factory.mktemp("home")))


def test_figures_tell_how_many_clusters_stand_behind_them(
    db: Warehouse, experiment: BatchExperiment
) -> None:
    (held_out,) = db.one(
        "select count(distinct cluster) from assignment.simulated where split = 'holdout'"
    )
    assert 0 < held_out < HOUSEHOLDS
    for table in ("metrics", "policy_value"):
        assert db.rows(f"select distinct clusters from evaluation.{table}") == [(held_out,)]
    by_split = dict(db.rows("select split, clusters from evaluation.average_effects"))
    assert by_split == {
        "all": HOUSEHOLDS,
        "holdout": held_out,
        "train": HOUSEHOLDS - held_out,
    }
    ((card,),) = db.rows("select card from models.cards")
    assert f"{USERS:,} users in {HOUSEHOLDS} clusters" in card
    tables = evaluate(db, experiment)
    deciding = dict.fromkeys(experiment.declaration.treatments, "stack")
    said = summary_markdown(experiment, tables, deciding)
    assert f"of users in {held_out} clusters; ± one standard error; * decides.\n" in said
    assert few_clusters(experiment, tables) == ""
    for row in tables["metrics"]:
        row["clusters"] = 39
    assert "in 39 clusters; with fewer than 40" in few_clusters(experiment, tables)
    assert "With fewer than 40 clusters it is too small." in summary_markdown(
        experiment, tables, deciding
    )


def test_stored_errors_are_those_of_households(db: Warehouse) -> None:
    users = db.arrow(
        "select cluster::integer as cluster, assignment.arm = 'treated' as w, converted as y, "
        "mu0_converted::double as mu0, mu1_converted::double as mu1 "
        "from assignment.simulated as assignment "
        "join training.simulated_user_cells using (user_id) "
        "join training.simulated_predictions using (cell) where split = 'holdout'"
    )
    cluster, w, y, mu0, mu1 = (c.to_numpy().astype(float) for c in users.columns)
    phi = mu1 - mu0 + 2 * w * (y - mu1) - 2 * (1 - w) * (y - mu0)
    sums = np.bincount(cluster.astype(int), phi - phi.mean())
    clusters = len(np.unique(cluster))
    expected = np.sqrt(clusters / (clusters - 1) * (sums @ sums)) / len(phi)
    errors = db.rows("select std_error from evaluation.metrics where metric = 'ate'")
    assert [error for (error,) in errors] == pytest.approx([expected] * len(SCORES), rel=1e-9)


def test_the_gate_counts_households_with_an_event(db: Warehouse, experiment: BatchExperiment) -> None:
    ((events, n),) = db.rows("select distinct events, n from models.registry")
    (expected, users) = db.one(
        "select min(households), sum(users) from ("
        "select count(distinct cluster) filter (converted = 1 and fold > 0) as households, "
        "count(*) as users from assignment.simulated "
        "where split = 'train' group by arm)"
    )
    assert (events, n) == (expected, users)
    given = read_train_users(db, experiment, "treated")
    assert given.cluster is not None
    assert len(np.unique(given.cluster)) == int(
        db.one("select count(distinct cluster) from assignment.simulated where split = 'train'")[0]
    )


def test_segments_bands_and_comparisons_are_there(db: Warehouse) -> None:
    for table in ("segments", "bands", "comparisons", "calibration", "deciles", "qini_curve"):
        rows = dicts(db, f"from evaluation.{table}")
        assert rows, table
        assert all(row["std_error"] is not None for row in rows), table
