"""Train and judge every arm and every outcome of an experiment separately.

    python -m bench.outcomes hillstrom --home FOLDER

The batch learns one outcome, the declared default. This command runs the steps for each outcome in
turn, without Dagster, in a separate warehouse. It prints what the model card says: figures on held-out
users with standard errors, the champion and the gate's word.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from bench import ours
from bench.criteo_like import sample_path
from bench.hillstrom_splits import source_file
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.assignment import assignment_query
from dagster_project.scores.predictions import predictions_of, write_predictions
from dagster_project.scores.score_groups import read_holdout
from dagster_project.settings import SQL_FOLDER
from dagster_project.training.cells import (
    features_of,
    find_edges,
    make_cells,
    read_edges,
    read_feature_cells,
)
from dagster_project.training.fitting import Recipe, train_arm
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.opening import open_warehouse
from uplift_core.artifacts.home import Home
from uplift_core.evaluation.gate import Verdict
from uplift_core.evaluation.tables import NAMES, Rows, evaluate_joint
from uplift_core.experiment.declaration import Experiment, load_experiment

METRICS = ("ate", "autoc", "qini", "qini_auc", "auuc", "uplift_at_30", "calibration_slope")


def source_of(experiment: Experiment) -> Path:
    """Return the path of Hillstrom's official file, or of the 200,000 real rows of Criteo's."""
    if experiment.name == "criteo":
        return sample_path()
    return source_file(experiment)


def with_default(experiment: Experiment, outcome: str, salt: str) -> Experiment:
    """Return the experiment with another default outcome and another split."""
    defaults = experiment.defaults.model_copy(update={"outcome": outcome})
    split = experiment.split.model_copy(update={"salt": salt})
    return experiment.model_copy(update={"defaults": defaults, "split": split})


def prepare(db: Warehouse, experiment: BatchExperiment, source: Path) -> None:
    """Run the steps from the file to cells."""
    raw = (experiment.path / "raw.sql").read_text(encoding="utf-8")
    db.create(experiment.tables.raw, raw, {"source": str(source)})
    ours.write_features(db, experiment)
    db.create(experiment.tables.assignment, *assignment_query(experiment))
    make_cells(db, experiment, find_edges(db, experiment))


def learn(db: Warehouse, experiment: BatchExperiment, arm: str) -> tuple[Verdict, dict[str, Rows]]:
    """Train, judge, and evaluate on the holdout."""
    edges, parameters = read_edges(db, experiment), experiment.declaration.learners
    trained = train_arm(db, experiment, arm, Recipe(edges, parameters, threads=0))
    outcome = experiment.declaration.defaults.outcome
    x = read_feature_cells(db, experiment, features_of(db, experiment))
    predictions = predictions_of(trained.model, x, arm, outcome)
    write_predictions(db, experiment.tables, predictions)
    joint = read_holdout(db, experiment, arm, outcome)
    return trained.verdict, evaluate_joint(joint, experiment.declaration, arm, outcome)


def report(verdict: Verdict, tables: dict[str, Rows], budgets: list[float]) -> str:
    """Format the results of an arm and outcome."""
    metrics = {(r["learner"], r["metric"]): r for r in tables["metrics"]}
    policy = {(r["learner"], r["budget"]): r for r in tables["policy_value"] if r["estimator"] == "aipw"}
    lines = [f"gate: {verdict.text}", f"champion {verdict.champion}, runner-up {verdict.runner_up}"]
    lines.append("± is one standard error, [from, to] the 95 % interval")
    for learner in NAMES:
        cells = [
            f"{name} {r['value']:.4f} [{r['ci_low']:.4f}, {r['ci_high']:.4f}]"
            for name in METRICS
            if (r := metrics.get((learner, name)))
        ]
        cells += [
            f"gain at {budget:.0%} {r['gain_over_random']:+.5f} ± {r['gain_std_error']:.5f}"
            for budget in budgets
            if (r := policy[learner, budget])
        ]
        lines.append(f"  {NAMES[learner]:14} " + "; ".join(cells))
    return "\n".join(lines)


def main() -> None:
    """Run every arm and outcome and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=["hillstrom", "criteo"])
    parser.add_argument("--splits", type=int, default=1, help="different random splits")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.05, 0.1, 0.2, 0.3])
    parser.add_argument("--home", type=Path, required=True, help="folder for a warehouse, emptied first")
    given = parser.parse_args()
    path = SQL_FOLDER / "experiments" / given.experiment
    declared = load_experiment(path)
    source = source_of(declared)
    for split in range(given.splits):
        salt = declared.split.salt if split == 0 else f"{declared.split.salt}-{split + 1}"
        for outcome in (o.name for o in declared.outcomes):
            shutil.rmtree(given.home, ignore_errors=True)
            folder = BatchExperiment.read(with_default(declared, outcome, salt), path)
            with open_warehouse(Home(given.home), memory_limit="4GB", threads=0) as db:
                prepare(db, folder, source)
                for arm in declared.treatments:
                    print(f"\n{given.experiment}, split {split + 1}: {arm}, {outcome}")
                    print(report(*learn(db, folder, arm), given.budgets), flush=True)


if __name__ == "__main__":
    main()
