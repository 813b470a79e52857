"""Learn from lists: train on the experiment and on what lists brought; compare with the old models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from dagster_project.decisions.listed_rows import Counts, kept_table, list_rows
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import SCORES, predictions_of_arms, write_predictions
from dagster_project.scores.score_groups import read_joint
from dagster_project.training.cells import make_cells, read_edges, read_feature_cells
from dagster_project.training.fitting import Recipe, Trained, train_arm
from dagster_project.training.model_version import write_models
from dagster_project.training.registry import current_version, deciding_learner
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from dagster_project.warehouse.table_names import Tables
from uplift_core.artifacts.bundle import Bundle
from uplift_core.cells import BinEdges
from uplift_core.evaluation.calibration import calibration_slope
from uplift_core.evaluation.estimate import Estimate, difference, spread
from uplift_core.evaluation.policy import gain_over_random
from uplift_core.experiment.learning import Learning

LEARNED = Identifier.of("models", "learned")
LISTED = Identifier.of("listed_rows")
POOLED = Identifier.of("pooled_rows")
OLD_SCORE = "old_score"


@dataclass(frozen=True)
class Comparison:
    """Gains over random at the default budget, per user, on held-out users of experiment and lists."""

    new: Estimate
    old: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Lesson:
    """What was learned from lists.

    Attributes:
        counts: rows that were learned from, and those that were left out.
        from_experiment: rows of the experiment beside them.
        trained: the new models and their verdict.
        edges: the bins that they were trained on, which are those of the old models.
        old_version: version of the old models.
        old_learner: the learner that decided until now.
        slope: calibration slope of the old models on the lists alone.
        comparison: new and old champion, paired.
    """

    counts: Counts
    from_experiment: int
    trained: Trained
    edges: BinEdges
    old_version: str
    old_learner: str
    slope: Estimate
    comparison: Comparison

    @property
    def champion(self) -> str:
        """The learner that decides among the new models."""
        return self.trained.verdict.champion

    @property
    def gate(self) -> str:
        """The word of its gate."""
        return self.trained.verdict.findings[self.champion].word

    @property
    def replaces(self) -> bool:
        """Whether the new models take the place of the old ones."""
        return self.gate == "passed" and self.comparison.difference.ci_low > 0

    @property
    def reason(self) -> str:
        """Why they do, or why the old ones stay."""
        gain = self.comparison.difference
        told = f"{gain.value:+.5f} ± {gain.std_error:.5f} per user"
        if self.gate != "passed":
            return f"the old models stay: the gate of the new champion is {self.gate}"
        if not self.replaces:
            return f"the old models stay: the new ones are not shown to beat them ({told})"
        return f"the new models take the place of the old ones, which they beat by {told}"


def learn(
    db: Warehouse, experiment: BatchExperiment, learning: Learning, old: Bundle, threads: int
) -> Lesson:
    """Train on the experiment and its lists, and compare with the old models.

    Args:
        db: the warehouse; tables that this makes are dropped again.
        experiment: the experiment, which has one treatment.
        learning: from which lists.
        old: the current models.
        threads: number of threads to fit with.

    Raises:
        DataError: no closed night has users with a contrast.
    """
    (arm,) = experiment.declaration.treatments
    counts = list_rows(db, experiment, learning, LISTED)
    edges, learner = read_edges(db, experiment), deciding_learner(db, experiment, arm)
    pooled = as_pooled(experiment)
    with _pooled_rows(db, experiment, pooled, edges, with_experiment=False):
        write_predictions(db, pooled.tables, _predict(db, pooled, edges, old))
        joint = read_joint(db, pooled, arm, {"old": SCORES[learner]})
        slope = calibration_slope(joint.by("old")[0])
    with _pooled_rows(db, experiment, pooled, edges, with_experiment=True):
        decides = experiment.declaration.defaults.learner or "stack"
        recipe = Recipe(edges, experiment.declaration.learners, threads, decides=decides)
        trained = train_arm(db, pooled, arm, recipe)
        rows = db.count(POOLED)
        comparison = _compare(db, pooled, edges, trained, (old, learner))
    return Lesson(
        counts,
        rows - counts.learned,
        trained,
        edges,
        current_version(db, experiment.name),
        learner,
        slope,
        comparison,
    )


def take_over(db: Warehouse, root: Path, experiment: BatchExperiment, lesson: Lesson) -> str:
    """Make the new models the current ones of the experiment; return their version."""
    (arm,) = experiment.declaration.treatments
    used = {arm: experiment.declaration.learners}
    version, _ = write_models(db, root, experiment, lesson.edges, {arm: lesson.trained}, used=used)
    return version


def as_pooled(experiment: BatchExperiment) -> BatchExperiment:
    """Return the experiment of the pooled rows: chances differ between rows, and users repeat."""
    declared = experiment.declaration
    changes = {
        "name": f"{experiment.name}__pooled",
        "cluster": "person",
        "strata": (),
        "propensity_column": "propensity",
        "learners": declared.learners.model_copy(update={"bags": 0}),
        "population": None,
        "exposure": "",
    }
    declaration = declared.model_copy(update=changes)
    return replace(experiment, declaration=declaration, tables=Tables.of(declaration))


def write_lesson(
    db: Warehouse, experiment: BatchExperiment, lesson: Lesson, new_version: str | None
) -> dict[str, object]:
    """Write a row of ``models.learned``; return it."""
    compared = lesson.comparison
    (arm,) = experiment.declaration.treatments
    row = {
        "experiment": experiment.name,
        "learned_at": datetime.now(UTC).replace(tzinfo=None),
        "arm": arm,
        **asdict(lesson.counts),
        "from_experiment": lesson.from_experiment,
        "old_version": lesson.old_version,
        "old_learner": lesson.old_learner,
        "slope": lesson.slope.value,
        "slope_std_error": lesson.slope.std_error,
        "new_version": new_version,
        "new_learner": lesson.champion,
        "gate": lesson.gate,
        "gain": compared.new.value,
        "gain_std_error": compared.new.std_error,
        "old_gain": compared.old.value,
        "old_gain_std_error": compared.old.std_error,
        "difference": compared.difference.value,
        "difference_std_error": compared.difference.std_error,
        "replaced": lesson.replaces,
        "reason": lesson.reason,
    }
    with db.relation("incoming_rows", pa.Table.from_pylist([row])):
        db.rows(f"insert into {LEARNED} by name from incoming_rows")
    return row


@contextmanager
def _pooled_rows(
    db: Warehouse,
    experiment: BatchExperiment,
    pooled: BatchExperiment,
    edges: BinEdges,
    *,
    with_experiment: bool,
) -> Iterator[None]:
    """Write features, assignment and cells of the rows to learn from; drop them afterwards."""
    declaration, tables = experiment.declaration, pooled.tables
    (arm,) = declaration.treatments
    outcomes = Identifier.listed([outcome.name for outcome in declaration.outcomes])
    sql = render(
        "training/pooled.sql",
        listed=LISTED,
        kept=kept_table(experiment),
        assignment=experiment.tables.assignment,
        features=experiment.tables.features,
        outcome_list=outcomes,
        varies=declaration.propensity_varies,
    )
    binds: dict[str, object] = {
        "arm": arm,
        "control": declaration.control,
        "salt": declaration.split.salt,
        "holdout": declaration.split.holdout,
        "folds": declaration.split.folds,
        "with_experiment": with_experiment,
    }
    if not declaration.propensity_varies:
        binds["propensity"] = declaration.contrast(arm).propensity
    db.create_temporary(POOLED, sql, binds)
    features = Identifier.listed(edges.features)
    db.create(tables.features, f"select row_id as user_id, {features} from {POOLED}")
    db.create(
        tables.assignment,
        "select row_id as user_id, arm, split, fold, person::varchar as cluster, propensity, "
        f"{outcomes} from {POOLED}",
    )
    make_cells(db, pooled, edges)
    yield
    # Where something fails, the caller's transaction is rolled back.
    for table in _made(tables):
        db.drop(table)
    db.rows(f"drop table {POOLED}")


def _made(tables: Tables) -> Sequence[Identifier]:
    return (
        *(tables.features, tables.assignment, tables.feature_cells, tables.user_cells),
        *(tables.cells, tables.predictions),
    )


def _predict(db: Warehouse, pooled: BatchExperiment, edges: BinEdges, models: Bundle) -> pa.Table:
    x = read_feature_cells(db, pooled, edges.features)
    return predictions_of_arms(models.models, x, models.manifest.outcome)


def _compare(
    db: Warehouse,
    pooled: BatchExperiment,
    edges: BinEdges,
    trained: Trained,
    old: tuple[Bundle, str],
) -> Comparison:
    """Compare the new champion with the old one on held-out users, at the default budget."""
    (arm,) = pooled.declaration.treatments
    models, learner = old
    before = _predict(db, pooled, edges, models).column(SCORES[learner])
    x = read_feature_cells(db, pooled, edges.features)
    outcome = pooled.declaration.defaults.outcome
    rows = predictions_of_arms({arm: trained.model}, x, outcome).append_column(OLD_SCORE, before)
    write_predictions(db, pooled.tables, rows)
    scores = {"new": SCORES[trained.verdict.champion], "old": OLD_SCORE}
    joint, gains = read_joint(db, pooled, arm, scores), {}
    for name in scores:
        groups, place = joint.by(name)
        gains[name] = spread(gain_over_random(groups, pooled.declaration.defaults.budget), place)
    return Comparison(gains["new"], gains["old"], difference(joint, gains["new"], gains["old"]))
