"""Write the model card: what a model version is, the evidence for it, and its limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import dagster as dg
import numpy as np

from dagster_project.declared.experiment import ESTIMATED, BatchExperiment
from dagster_project.evaluation import plots
from dagster_project.reporting.markdown import markdown_table, with_error
from dagster_project.scores.predictions import NAMES, Rows
from dagster_project.scores.score_groups import read_holdout
from dagster_project.training.cells import features_of
from dagster_project.training.registry import REGISTRY, current_version, deciding_learner
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier

HISTOGRAM_BINS = 40


@dataclass(frozen=True)
class Plot:
    """One plot of one contrast: its Vega-Lite specification and its title."""

    arm: str
    name: str
    title: str
    specification: str


def make_plots(db: Warehouse, experiment: BatchExperiment) -> list[Plot]:
    """Draw the plots of every arm, for the learner that decides and the default outcome."""
    drawn = [*evaluation_plots(db, experiment), *distribution_plots(db, experiment)]
    return sorted(drawn, key=lambda plot: experiment.declaration.treatments.index(plot.arm))


def evaluation_plots(db: Warehouse, experiment: BatchExperiment) -> list[Plot]:
    """Draw what the scores are worth: Qini curve, deciles, policy value, calibration."""
    defaults, drawn = experiment.declaration.defaults, []
    for arm in experiment.declaration.treatments:
        learner, outcome = deciding_learner(db, experiment, arm), defaults.outcome

        def rows(table: str, arm: str = arm) -> Rows:
            return _read(db, table, experiment, arm)

        charts = {
            "qini": plots.qini_plot(rows("qini_curve"), learner, outcome, defaults.budget),
            "deciles": plots.decile_plot(rows("deciles"), learner, outcome),
            "policy_value": plots.policy_plot(rows("policy_value"), learner, outcome, defaults.budget),
            "calibration": plots.calibration_plot(rows("calibration"), learner, outcome),
        }
        drawn += [_plot(arm, name, chart) for name, chart in charts.items()]
    return drawn


def distribution_plots(db: Warehouse, experiment: BatchExperiment) -> list[Plot]:
    """Draw the scores themselves: the distribution of predicted effects."""
    arms, outcome = experiment.declaration.treatments, experiment.declaration.defaults.outcome
    histograms = [row for arm in arms for row in _histogram(db, experiment, arm)]
    return [
        _plot(
            arm,
            "distribution",
            plots.distribution_plot(histograms, arm, deciding_learner(db, experiment, arm), outcome),
        )
        for arm in arms
    ]


def plot_metadata(drawn: Sequence[Plot]) -> dict[str, dg.MetadataValue]:
    """Convert plots to the metadata that Dagster shows at a materialization."""
    return {
        f"{p.name} of {p.arm}": dg.MetadataValue.md(plots.png_markdown(p.specification, p.title))
        for p in drawn
    }


def _plot(arm: str, name: str, chart: alt.TopLevelMixin) -> Plot:
    spec = plots.specification(chart)
    return Plot(arm, name, json.loads(spec)["title"]["text"], spec)


def plot_rows(experiment: BatchExperiment, drawn: Sequence[Plot]) -> Rows:
    """Return the rows of ``evaluation.plots``."""
    return [
        {
            "experiment": experiment.name,
            "arm": plot.arm,
            "outcome": experiment.declaration.defaults.outcome,
            "plot": plot.name,
            "title": plot.title,
            "specification": plot.specification,
        }
        for plot in drawn
    ]


def write_card(db: Warehouse, experiment: BatchExperiment, images: dict[tuple[str, str], str]) -> str:
    """Write the card as Markdown; ``images`` maps (arm, plot) to the Markdown of an image."""
    declaration, defaults = experiment.declaration, experiment.declaration.defaults
    version = current_version(db, experiment.name)
    registry = _dicts(
        db,
        f"select * from {REGISTRY} where experiment = $experiment and is_current order by arm, learner",
        {"experiment": experiment.name},
    )
    first = registry[0]
    parts = [
        f"# {version}",
        f"{declaration.title}. {declaration.description}",
        (
            f"Predicts the effect on *{first['outcome']}* of each arm against '{declaration.control}'. "
            "Trained on the train split; the holdout "
            f"({declaration.split.holdout:.0%} of users) reports and chose nothing."
        ),
    ]
    if declaration.propensities == "estimate":
        parts.append(f"**Warning**: {ESTIMATED}.")
    for arm in declaration.treatments:
        arm_rows = [row for row in registry if row["arm"] == arm]
        parts += [f"## {arm}", *_arm(db, experiment, arm, arm_rows)]
        parts += [images[key] for key in images if key[0] == arm]
    parts += [
        "## What it is made of",
        markdown_table(
            ["", ""],
            [
                ("features", ", ".join(features_of(db, experiment))),
                ("parameters", f"`{first['parameters']}`"),
                ("source file, sha256", first["data_sha256"]),
                ("SQL, sha256", first["sql_sha256"]),
                ("bundle, sha256", first["bundle_sha256"]),
                ("libraries", first["libraries"]),
                ("split", f"salt '{declaration.split.salt}', {declaration.split.folds} folds"),
            ],
        ),
        "## Where it should not be used",
        (
            "On users unlike the experiment's, for another treatment, or where users influence each "
            "other: none of that was randomized. Figures hold for the time of the experiment; effects "
            "fade and change. A list or a score at a budget far from "
            f"{defaults.budget:.0%} was not what the learners were compared at."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _arm(db: Warehouse, experiment: BatchExperiment, arm: str, registry: Rows) -> list[str]:
    """Write an arm's section: the decision, the evidence inside train, the figures on the holdout."""
    defaults = experiment.declaration.defaults
    decides = deciding_learner(db, experiment, arm)
    word = next(row for row in registry if row["learner"] == decides)
    how = "the champion" if word["champion"] else "by declaration, not the champion"
    evidence = markdown_table(
        ["learner", "gain over random", "gain over the response model", ""],
        [
            (
                NAMES[row["learner"]],
                with_error(row["gain_over_random"], row["gain_over_random_std_error"], sign=True),
                with_error(row["gain_over_response"], row["gain_over_response_std_error"], sign=True),
                "champion" if row["champion"] else "runner-up" if row["runner_up"] else "",
            )
            for row in registry
        ],
    )
    return [
        (
            f"**{NAMES[decides]} decides** ({how}). The gate: **{word['gate']}**. "
            f"{word['gate_reason']} With these users, a gain of {word['detectable_gain']:.5f} "
            "over random would show with 80 % power."
        ),
        (
            f"Inside train, out of fold, {word['n']:,} users, {word['budget']:.0%} treated, "
            f"{defaults.outcome} per user ± one standard error:"
        ),
        evidence,
        "On held-out users, ± one standard error:",
        _holdout_table(db, experiment, arm),
    ]


def _holdout_table(db: Warehouse, experiment: BatchExperiment, arm: str) -> str:
    policy = {
        row["learner"]: row
        for row in _read(db, "policy_value", experiment, arm)
        if row["estimator"] == "aipw" and row["budget"] == experiment.declaration.defaults.budget
    }
    metrics = {
        (row["learner"], row["metric"]): with_error(row["value"], row["std_error"], digits=4)
        for row in _read(db, "metrics", experiment, arm)
    }
    head = ["learner", "value", "gain over random", "AUTOC", "Qini", "calibration slope"]
    return markdown_table(
        head,
        [
            (
                NAMES[name],
                with_error(row["value"], row["std_error"]),
                with_error(row["gain_over_random"], row["gain_std_error"], sign=True),
                *(metrics.get((name, m), "") for m in ("autoc", "qini_auc", "calibration_slope")),
            )
            for name, row in policy.items()
        ],
    )


def _histogram(db: Warehouse, experiment: BatchExperiment, arm: str) -> Rows:
    joint = read_holdout(db, experiment, arm, experiment.declaration.defaults.outcome)
    score = joint.scores[deciding_learner(db, experiment, arm)]
    users, ends = np.histogram(score, bins=HISTOGRAM_BINS, weights=joint.n)
    return [
        {"arm": arm, "low": float(low), "high": float(high), "users": float(n)}
        for low, high, n in zip(ends[:-1], ends[1:], users, strict=True)
    ]


def _read(db: Warehouse, table: str, experiment: BatchExperiment, arm: str) -> Rows:
    """Read an arm's rows of an evaluation table, for the default outcome."""
    return _dicts(
        db,
        f"select * from {Identifier.of('evaluation', table)} where experiment = $experiment "
        "and arm = $arm and outcome = $outcome order by all",
        {"experiment": experiment.name, "arm": arm, "outcome": experiment.declaration.defaults.outcome},
    )


def _dicts(db: Warehouse, sql: str, binds: dict[str, object]) -> Rows:
    return list(db.arrow(sql, binds).to_pylist())
