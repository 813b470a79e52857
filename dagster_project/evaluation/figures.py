"""Turn scores of held-out users into rows of the evaluation tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.complier_effects import with_expected_costs
from dagster_project.reporting.markdown import markdown_table, with_error
from dagster_project.scores.score_groups import read_holdout
from dagster_project.warehouse.connection import Warehouse
from uplift_core.evaluation.audiences import audience_rows
from uplift_core.evaluation.clusters import LEAST_CLUSTERS
from uplift_core.evaluation.tables import TABLES, Row, Rows, evaluate_joint, summary_rows
from uplift_core.learner_names import LEARNER_NAMES

Report = Callable[[str], None]
AUDIENCES = "audiences"


def evaluate(
    db: Warehouse, experiment: BatchExperiment, report: Report = lambda _: None
) -> dict[str, Rows]:
    """Compute the rows of every evaluation table of one experiment: table name -> rows."""
    declaration = with_expected_costs(db, experiment).declaration
    tables: dict[str, Rows] = {name: [] for name in (*TABLES, AUDIENCES)}
    budget = declaration.defaults.budget
    for arm, declared in product(declaration.treatments, declaration.outcomes):
        report(f"{arm}, {declared.name}")
        joint = read_holdout(db, experiment, arm, declared.name)
        by_table = evaluate_joint(joint, declaration, arm, declared.name)
        label = {"experiment": experiment.name, "arm": arm, "outcome": declared.name}
        for name, rows in by_table.items():
            tables[name] += [label | row for row in rows]
        if declared.name == declaration.defaults.outcome:
            rows = [row for name in LEARNER_NAMES for row in audience_rows(joint, name, budget)]
            tables[AUDIENCES] += [label | row for row in rows]
    return tables if declaration.cluster else _without_clusters(tables)


def _without_clusters(tables: dict[str, Rows]) -> dict[str, Rows]:
    """Leave the number of clusters empty: users who weigh differently are their own."""
    empty = {"clusters": None}
    return {
        name: [row | empty if row.get("clusters") else row for row in rows]
        for name, rows in tables.items()
    }


def summary_markdown(
    experiment: BatchExperiment, tables: Mapping[str, Rows], deciding: Mapping[str, str]
) -> str:
    """Format policy value, Qini and AUTOC by arm and learner, for the default budget and outcome.

    ``deciding`` maps each arm to the learner that decides, which gets a star.
    """
    defaults = experiment.declaration.defaults
    rows = [
        (
            row["arm"],
            row["learner"] + (" *" if row["learner"] == deciding[row["arm"]] else ""),
            with_error(row["value"], row["std_error"]),
            f"{row['random_value']:.5f}",
            with_error(row["gain_over_random"], row["gain_std_error"], sign=True),
            _metric(row, "qini_auc"),
            _metric(row, "autoc"),
        )
        for row in summary_rows(tables, defaults)
    ]
    budget = f"value at {defaults.budget:.0%}"
    head = ["arm", "learner", budget, "random", "gain over random", "Qini", "AUTOC"]
    counts = sorted({m["clusters"] for m in tables["metrics"] if m["clusters"]})
    of = f", of users in {' or '.join(f'{count:,}' for count in counts)} clusters" if counts else ""
    few = f" With fewer than {LEAST_CLUSTERS} clusters it is too small." if _few(counts) else ""
    note = f"Mean {defaults.outcome} per held-out user{of}; ± one standard error; * decides.{few}\n\n"
    return note + markdown_table(head, rows)


def headline(
    experiment: BatchExperiment, tables: Mapping[str, Rows], deciding: Mapping[str, str]
) -> dict[str, float]:
    """Return the figures of the default arm's deciding learner by name; Dagster draws them over runs."""
    defaults = experiment.declaration.defaults
    (row,) = (
        row
        for row in summary_rows(tables, defaults)
        if (row["arm"], row["learner"]) == (defaults.arm, deciding[defaults.arm])
    )
    names = ("value", "gain_over_random", "gain_std_error", "qini_auc", "autoc")
    return {name: float(row[name]) for name in names if row[name] is not None}


def few_clusters(experiment: BatchExperiment, tables: dict[str, Rows]) -> str:
    """Tell that errors rest on few clusters; empty if they do not."""
    counts = [m["clusters"] for m in tables["metrics"] if m["clusters"]]
    if not _few(counts):
        return ""
    return (
        f"{experiment.name}: held-out users are in {min(counts)} clusters; with fewer than "
        f"{LEAST_CLUSTERS}, standard errors are too small and 95 % intervals too narrow"
    )


def _few(counts: list[int]) -> bool:
    return min(counts, default=LEAST_CLUSTERS) < LEAST_CLUSTERS


def _metric(row: Row, name: str) -> str:
    return "" if row[name] is None else with_error(row[name], row[f"{name}_std_error"])
