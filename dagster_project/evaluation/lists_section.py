"""The model card's section on what models learned from lists."""

from __future__ import annotations

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.stored_plots import records
from dagster_project.reporting.markdown import with_error
from dagster_project.warehouse.connection import Warehouse

NEWEST = "from models.learned where experiment = $experiment order by learned_at desc limit 1"
LEFT_OUT = {
    "never": "had no chance of the treatment",
    "always": "had no chance of no treatment",
    "little_overlap": "had too small a chance of one of both",
    "lost_features": "have no kept features",
}


def lists_section(db: Warehouse, experiment: BatchExperiment) -> list[str]:
    """Tell what models last learned from lists, and why the old ones stay or went; empty if never."""
    rows = records(db, NEWEST, {"experiment": experiment.name})
    if not rows:
        return []
    (row,) = rows
    left = ", ".join(f"{row[name]:,} {words}" for name, words in LEFT_OUT.items() if row[name])

    def figure(name: str) -> str:
        return with_error(row[name], row[f"{name}_std_error"], sign=True)

    return [
        "## Learned from lists",
        (
            f"On {row['learned_at']:%Y-%m-%d}, from {row['learned']:,} rows of {row['nights']} lists "
            f"('{row['campaign']}') beside {row['from_experiment']:,} of the experiment, all of one "
            f"weight: **{row['reason']}**."
        ),
        (
            f"Gain over random per held-out user of both, ± one standard error: new {figure('gain')}, "
            f"old {figure('old_gain')}, difference {figure('difference')} (paired; errors by user)."
        ),
        (
            f"Calibration slope of the old models on the lists: {figure('slope')}; 1 if effects are as "
            "predicted."
        ),
        f"Left out of {row['listed']:,} rows: {left or 'none'}.",
    ]
