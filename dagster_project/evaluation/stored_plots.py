"""Draw the plots of an experiment once, store them in ``evaluation.plots``, and read them from there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import altair as alt
import dagster as dg
import numpy as np
import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.pictures import png_markdown
from dagster_project.scores.score_groups import read_holdout
from dagster_project.training.registry import deciding_learner
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core import plots
from uplift_core.evaluation.tables import Rows

PLOTS = Identifier.of("evaluation", "plots")
ORDER = ("qini", "deciles", "policy_value", "calibration", "distribution")
HISTOGRAM_BINS = 40


@dataclass(frozen=True)
class Plot:
    """One plot of one contrast: its Vega-Lite specification and its title."""

    arm: str
    plot: str
    title: str
    specification: str


def write_plots(db: Warehouse, experiment: BatchExperiment) -> list[Plot]:
    """Draw all plots of every arm from the tables of ``evaluation``, and store them."""
    drawn = make_plots(db, experiment)
    labels = {"experiment": experiment.name, "outcome": experiment.declaration.defaults.outcome}
    rows = pa.Table.from_pylist([labels | asdict(plot) for plot in drawn])
    db.replace_rows(PLOTS, {"experiment": experiment.name}, rows)
    return drawn


def read_plots(db: Warehouse, experiment: BatchExperiment) -> list[Plot]:
    """Read the stored plots, in the order in which ``make_plots`` returns them."""
    stored = records(
        db,
        f"select arm, plot, title, specification from {PLOTS} where experiment = $experiment",
        {"experiment": experiment.name},
    )
    arms = experiment.declaration.treatments
    plots = [Plot(**row) for row in stored]
    return sorted(plots, key=lambda plot: (arms.index(plot.arm), ORDER.index(plot.plot)))


def make_plots(db: Warehouse, experiment: BatchExperiment) -> list[Plot]:
    """Draw the plots of every arm, for the learner that decides and the default outcome."""
    drawn = [*_evaluation_plots(db, experiment), *distribution_plots(db, experiment)]
    return sorted(drawn, key=lambda plot: experiment.declaration.treatments.index(plot.arm))


def distribution_plots(db: Warehouse, experiment: BatchExperiment) -> list[Plot]:
    """Draw the scores themselves: the distribution of predicted effects."""
    arms, outcome = experiment.declaration.treatments, experiment.declaration.defaults.outcome
    histograms = [row for arm in arms for row in _histogram(db, experiment, arm)]
    with plots.without_validation():
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
        f"{p.plot} of {p.arm}": dg.MetadataValue.md(png_markdown(p.specification, p.title))
        for p in drawn
    }


def _evaluation_plots(db: Warehouse, experiment: BatchExperiment) -> list[Plot]:
    """Draw what the scores are worth: Qini curve, deciles, policy value, calibration."""
    defaults, drawn = experiment.declaration.defaults, []
    for arm in experiment.declaration.treatments:
        learner, outcome = deciding_learner(db, experiment, arm), defaults.outcome

        def rows(table: str, arm: str = arm) -> Rows:
            return rows_of_arm(db, table, experiment, arm)

        with plots.without_validation():
            bands = [row for row in rows("bands") if row["learner"] == learner]
            charts = {
                "qini": plots.qini_plot(rows("qini_curve"), learner, outcome, defaults.budget, bands),
                "deciles": plots.decile_plot(
                    rows("deciles"),
                    learner,
                    outcome,
                    clustered=bool(experiment.declaration.cluster),
                ),
                "policy_value": plots.policy_plot(
                    rows("policy_value"), learner, outcome, defaults.budget, bands
                ),
                "calibration": plots.calibration_plot(rows("calibration"), learner, outcome),
            }
            drawn += [_plot(arm, name, chart) for name, chart in charts.items()]
    return drawn


def _plot(arm: str, name: str, chart: alt.TopLevelMixin) -> Plot:
    spec = plots.specification(chart)
    return Plot(arm, name, json.loads(spec)["title"]["text"], spec)


def _histogram(db: Warehouse, experiment: BatchExperiment, arm: str) -> Rows:
    outcome = experiment.declaration.defaults.outcome
    joint = read_holdout(db, experiment, arm, outcome, with_clusters=False)
    score = joint.scores[deciding_learner(db, experiment, arm)]
    users, ends = np.histogram(score, bins=HISTOGRAM_BINS, weights=joint.n)
    return [
        {"arm": arm, "low": float(low), "high": float(high), "users": float(n)}
        for low, high, n in zip(ends[:-1], ends[1:], users, strict=True)
    ]


def rows_of_arm(db: Warehouse, table: str, experiment: BatchExperiment, arm: str) -> Rows:
    """Read an arm's rows of an evaluation table, for the default outcome."""
    return records(
        db,
        f"select * from {Identifier.of('evaluation', table)} where experiment = $experiment "
        "and arm = $arm and outcome = $outcome order by all",
        {"experiment": experiment.name, "arm": arm, "outcome": experiment.declaration.defaults.outcome},
    )


def records(db: Warehouse, sql: str, binds: dict[str, object]) -> Rows:
    """Read the rows of a query as dictionaries."""
    return list(db.arrow(sql, binds).to_pylist())
