"""The checks as Dagster shows them: they run in the step that makes a table; each check has one result.

A critical finding fails the step, and the warehouse keeps its former table. A warning is only shown.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import duckdb

from dagster_project.checks.findings import Finding, summary
from dagster_project.checks.maturity import check_maturity
from dagster_project.checks.profiles import check_feature_drift
from dagster_project.checks.statistics import (
    check_balance,
    check_leakage,
    check_predictability,
    check_sample_ratio,
    check_score_drift,
)
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.reporting.markdown import markdown_table
from dagster_project.resources import Engine
from dagster_project.warehouse.connection import Warehouse

# We use partitions_def only to give a check the dates of its list.
warnings.filterwarnings("ignore", message=".*partitions_def on an AssetCheckSpec")


@dataclass(frozen=True)
class Subject:
    """The subject of checks: a layer of an experiment; for lists, those of ``dates``."""

    folder: BatchExperiment
    engine: Engine
    layer: str
    dates: Sequence[str] = ()

    @property
    def docs(self) -> Path:
        """The folder of Great Expectations' pages."""
        return self.engine.paths.root / "data_docs" / self.folder.name / self.layer


WORTH = "worth"  # the check of a proposal; the asset that makes the proposal reports the finding
CheckFunction = Callable[[Warehouse, Subject], Iterator[Finding]]


def expectations(db: Warehouse, subject: Subject) -> Iterator[Finding]:
    """Run the layer's suite by Great Expectations."""
    # The import takes seconds, so only a check that runs imports it.
    from dagster_project.checks import expected as suites  # noqa: PLC0415
    from dagster_project.checks.great_expectations_duckdb import validate  # noqa: PLC0415

    folder, layer = subject.folder, subject.layer
    if layer == "treat_list":
        batches = suites.treat_list_suite(folder, subject.dates)
    else:
        batches = suites.SUITES[layer](db, folder)
    yield from validate(db, f"{folder.name}/{layer}", batches, subject.docs)


def _raw(db: Warehouse, subject: Subject) -> Iterator[Finding]:
    yield from expectations(db, subject)
    yield from check_maturity(db, subject.folder)


def _features(db: Warehouse, subject: Subject) -> Iterator[Finding]:
    yield from expectations(db, subject)
    yield from check_feature_drift(db, subject.folder)


def _assignment(db: Warehouse, subject: Subject) -> Iterator[Finding]:
    yield from expectations(db, subject)
    yield from check_sample_ratio(db, subject.folder)


def _cells(db: Warehouse, subject: Subject) -> Iterator[Finding]:
    yield from check_balance(db, subject.folder)
    yield from check_predictability(db, subject.folder, subject.engine.threads)
    yield from check_leakage(db, subject.folder)


def _scores(db: Warehouse, subject: Subject) -> Iterator[Finding]:
    yield from expectations(db, subject)
    yield from check_score_drift(db, subject.folder)


def _population(db: Warehouse, subject: Subject) -> Iterator[Finding]:
    from dagster_project.checks import expected as suites  # noqa: PLC0415 - as above
    from dagster_project.checks.great_expectations_duckdb import validate  # noqa: PLC0415

    folder, population = subject.folder, subject.folder.tables.population
    batches = suites.features_suite(db, folder, population)
    yield from validate(db, f"{folder.name}/population", batches, subject.docs)
    yield from check_feature_drift(db, folder, population.features)


def _treat_list(db: Warehouse, subject: Subject) -> Iterator[Finding]:
    yield from expectations(db, subject)


CHECK_FUNCTIONS: dict[str, CheckFunction] = {
    "raw": _raw,
    "features": _features,
    "assignment": _assignment,
    "cells": _cells,
    "scores": _scores,
    "population": _population,
    "treat_list": _treat_list,
}
CHECKS = {  # layer -> check -> the requirement
    "raw": {
        "schema": "every column that the declaration or features.sql names exists",
        "keys": "one row per user",
        "arms": "every user is in a declared arm",
        "outcomes": "outcomes are complete, of their kind, and imply each other as declared",
        "columns": "columns hold the declared values",
        "published": "rows and rates equal the published ones of the file",
        "maturity": "all users were assigned the declared number of days ago",
    },
    "features": {
        "keys": "one row per user, for every user",
        "values": "finite, within the declared range",
        "missing": "known for as many users as declared (warning)",
        "drift": "distributed as in the previous training (warning)",
    },
    "assignment": {
        "keys": "one row per user",
        "arms": "all arms have users",
        "splits": "both splits have users",
        "outcomes": "outcomes happen to some users and not to all",
        "sample_ratio": "the arms have their designed sizes",
    },
    "cells": {
        "balance": "features have the same means in every arm",
        "predictability": "features do not predict the arm",
        "leakage": "no feature alone predicts an outcome almost perfectly",
    },
    "scores": {
        "keys": "one row per user and treatment",
        "values": "finite, and possible effects on the outcome",
        "drift": "scores of held-out users are distributed as those of train users (warning)",
    },
    "population": {
        "keys": "one row per user, for every user",
        "values": "finite, within the declared range",
        "missing": "known for as many users as declared (warning)",
        "drift": "distributed as in the training (warning)",
    },
    "treat_list": {
        "keys": "one row per user and campaign",
        "decisions": "known decisions with their probabilities",
        "values": "finite scores",
        "kept_out": "held-out and suppressed users are not treated",
    },
    "multi_arm_list": {WORTH: "choosing arms does better than the best one alone (warning)"},
}


def check_specs(
    experiment: BatchExperiment, layer: str, partitions: dg.PartitionsDefinition | None = None
) -> list[dg.AssetCheckSpec]:
    """Return the check specs of one layer of an experiment, for its asset."""
    return [
        dg.AssetCheckSpec(
            name,
            asset=dg.AssetKey([experiment.name, layer]),
            description=question[0].upper() + question[1:] + ".",
            blocking=True,  # a warning still stops nothing
            partitions_def=partitions,
        )
        for name, question in CHECKS.get(layer, {}).items()
    ]


def look(db: Warehouse, subject: Subject) -> list[Finding]:
    """Run all checks of a layer and return their findings; none if the layer has no checks."""
    findings: list[Finding] = []
    if subject.layer in CHECK_FUNCTIONS:
        try:
            findings.extend(CHECK_FUNCTIONS[subject.layer](db, subject))
        except duckdb.TransactionException:
            # A rule raised an error, which ended the transaction; its finding refuses the layer.
            if not any(finding.refuses for finding in findings):
                raise
    return findings


def refusal(subject: Subject, findings: Sequence[Finding]) -> dg.Failure:
    """Build the failed step's error: every check that refuses the layer, with its message."""
    refusing = [finding for finding in findings if finding.refuses]
    checks = dict.fromkeys(finding.check for finding in refusing)
    sentences = (f"check {c}: {summary([f for f in refusing if f.check == c])}" for c in checks)
    return dg.Failure(
        f"{subject.folder.name}/{subject.layer} is refused; the warehouse keeps what it had. "
        f"{'; '.join(sentences)}",
        allow_retries=False,
    )


def check_result(subject: Subject, name: str, findings: Sequence[Finding]) -> dg.AssetCheckResult:
    """Build the result of one check from all findings about the layer."""
    layer_findings = [finding for finding in findings if finding.check == name]
    heading = ["rule", "column", "found", "passed"]
    rows = [(f.rule, f.column, f.value, "yes" if f.passed else "NO") for f in layer_findings]
    metadata: dict[str, dg.MetadataValue] = {
        "findings": dg.MetadataValue.md(markdown_table(heading, rows)),
    }
    page = subject.docs / "index.html"
    if page.is_file():
        # This is a path, not a link: browsers follow no link from a web page to a file.
        metadata["data_docs"] = dg.MetadataValue.path(str(page.resolve()))
    refuses = any(finding.refuses for finding in layer_findings)
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey([subject.folder.name, subject.layer]),
        check_name=name,
        passed=all(finding.passed for finding in layer_findings),
        severity=dg.AssetCheckSeverity.ERROR if refuses else dg.AssetCheckSeverity.WARN,
        description=summary(layer_findings),
        metadata=metadata,
    )
