"""Several workers that train together give the same models as one worker."""

from __future__ import annotations

import numpy as np
import pytest

from dagster_project.compute.cluster.cluster import Cluster
from dagster_project.compute.cluster.tasks import Limits
from dagster_project.compute.cluster.training import Fitted, Job, train_on_one, train_together
from dagster_project.scores.predictions import SCORES, predictions_of
from dagster_project.training.cells import read_edges
from dagster_project.warehouse.partitions import Generation, write_part
from tests.support import few_rounds, opened, run_unchecked, small_simulation, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The training of a small simulated experiment, from cells in files."""
    experiment, home = few_rounds(small_simulation()), Home(tmp_path_factory.mktemp("home"))
    run_unchecked(experiment, home.root, ("raw", "features", "assignment", "cells"))
    generation = Generation.new(home, experiment.name, "cells")
    reads = {}
    with opened(home) as db:
        for number, table in enumerate((experiment.tables.cells, experiment.tables.feature_cells)):
            reads[table] = str(write_part(db, f"from {table}", {}, generation.path(number)).path)
        edges = read_edges(db, experiment)
    parameters = experiment.declaration.learners
    (arm,) = experiment.declaration.treatments
    return Job(experiment, arm, edges, parameters, reads, Limits("500MB"))


def scores_of(job: Job, fitted: Fitted) -> np.ndarray:
    """Return every learner's score of every predicted row."""
    x = np.random.default_rng(1).normal(size=(2_000, len(job.edges.features))).astype(np.float32)
    outcome = job.folder.declaration.defaults.outcome
    predictions = predictions_of(fitted.model(), x, job.arm, outcome)
    return np.column_stack([predictions.column(name).to_numpy() for name in SCORES.values()])


def test_two_workers_train_together_what_one_trains(workers, job, tmp_path):
    ((alone, (verdict, _)),) = workers.run("alone", train_on_one, [(job,)])
    generation = Generation.new(Home(tmp_path), "e", "out_of_fold")
    together, (other, _) = train_together(workers, job, 2, generation)
    ours, theirs = scores_of(job, alone), scores_of(job, together)
    assert np.abs(ours - theirs).max() <= 1e-6
    assert ours.std(axis=0).min() > 1e-3  # all of them rank
    assert (other.champion, other.word, other.n) == (verdict.champion, verdict.word, verdict.n)
    assert other.events == verdict.events
    for name, candidate in verdict.comparison.candidates.items():
        gain = other.comparison.candidates[name].over_random
        assert gain.value == pytest.approx(candidate.over_random.value, abs=1e-9)
        assert gain.std_error == pytest.approx(candidate.over_random.std_error, abs=1e-9)
        assert other.comparison.candidates[name].z_random == pytest.approx(candidate.z_random, abs=1e-4)


def test_clusters_of_users_are_not_worked_on_by_workers(job, tmp_path):
    cluster = Cluster.__new__(Cluster)
    declared = with_experiment(job.folder, cluster="household")
    with pytest.raises(DataError, match="cluster = 'household' is not worked on by Dask's workers"):
        cluster.cells(None, declared)


def test_chances_that_differ_are_not_worked_on_by_workers(job):
    declared = with_experiment(job.folder, propensity_column="p")
    with pytest.raises(DataError, match="strata and propensity_column are not worked on by Dask's"):
        Cluster.__new__(Cluster).per_user(None, declared, None)


@pytest.mark.parametrize("key", ["exposure", "weight"])
def test_exposures_and_weights_are_not_worked_on_by_workers(job, key):
    declared = with_experiment(job.folder, **{key: "opened"})
    with pytest.raises(DataError, match=f"{key} = 'opened' is not worked on by Dask's workers"):
        Cluster.__new__(Cluster).per_user(None, declared, None)
