"""The checks as Dagster shows them: part of the step that makes a table, one result a check.

A critical finding fails the step, and nothing of the table gets into the warehouse; a warning is shown.
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

# That a check knows the dates of its list is all that we use of it.
warnings.filterwarnings("ignore", message=".*partitions_def on an AssetCheckSpec")


@dataclass(frozen=True)
class Subject:
    """What is checked: a layer of an experiment; of lists those of some dates."""

    folder: BatchExperiment
    engine: Engine
    layer: str
    dates: Sequence[str] = ()

    @property
    def docs(self) -> Path:
        """Folder of Great Expectations' pages."""
        return self.engine.paths.root / "data_docs" / self.folder.name / self.layer


WORTH = "worth"  # of a proposal; its finding comes from what makes it
Look = Callable[[Warehouse, Subject], Iterator[Finding]]


def expectations(db: Warehouse, subject: Subject) -> Iterator[Finding]:
    """The layer's suite, by Great Expectations."""
    # Its import takes seconds, which only a check that runs should pay for.
    from dagster_project.checks import expected as suites  # noqa: PLC0415
    from dagster_project.checks.great_expectations_duckdb import validate  # noqa: PLC0415

    folder, layer = subject.folder, subject.layer
    if layer == "treat_list":
        batches = suites.treat_list_suite(folder, subject.dates)
    else:
        batches = getattr(suites, f"{layer}_suite")(db, folder)
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

    folder, own = subject.folder, subject.folder.tables.population
    batches = suites.features_suite(db, folder, own)
    yield from validate(db, f"{folder.name}/population", batches, subject.docs)
    yield from check_feature_drift(db, folder, own.features)


def _treat_list(db: Warehouse, subject: Subject) -> Iterator[Finding]:
    yield from expectations(db, subject)


LOOKS: dict[str, Look] = {
    "raw": _raw,
    "features": _features,
    "assignment": _assignment,
    "cells": _cells,
    "scores": _scores,
    "population": _population,
    "treat_list": _treat_list,
}
CHECKS = {  # layer -> check -> what it asks
    "raw": {
        "schema": "every column that the declaration or features.sql names exists",
        "keys": "one row a user",
        "arms": "every user is in a declared arm",
        "outcomes": "outcomes are complete, of their kind, and imply what they are declared to imply",
        "columns": "columns hold what is declared of them",
        "published": "rows and rates are those that are published about the file",
        "maturity": "outcomes had the days that they need",
    },
    "features": {
        "keys": "one row a user, every user",
        "values": "finite, within the declared range",
        "missing": "known for as many users as declared (warning)",
        "drift": "as in the training before (warning)",
    },
    "assignment": {
        "keys": "one row a user",
        "arms": "all arms have users",
        "splits": "both splits have users",
        "outcomes": "outcomes happen to some users and not to all",
        "sample_ratio": "the arms have their designed sizes",
    },
    "cells": {
        "balance": "features have the same means in every arm",
        "predictability": "features do not tell the arm",
        "leakage": "no feature knows an outcome",
    },
    "scores": {
        "keys": "one row a user and treatment",
        "values": "finite, and effects that the outcome can have",
        "drift": "held-out users are scored as train users are (warning)",
    },
    "population": {
        "keys": "one row a user, every user",
        "values": "finite, within the declared range",
        "missing": "known for as many users as declared (warning)",
        "drift": "as in the training (warning)",
    },
    "treat_list": {
        "keys": "one row a user and campaign",
        "decisions": "known decisions with their chances",
        "values": "finite scores",
        "kept_out": "who is held out or suppressed is not treated",
    },
    "multi_arm_list": {WORTH: "choosing arms does better than the best one alone (warning)"},
}


def check_specs(
    experiment: BatchExperiment, layer: str, partitions: dg.PartitionsDefinition | None = None
) -> list[dg.AssetCheckSpec]:
    """The checks of one layer of an experiment, for its asset."""
    return [
        dg.AssetCheckSpec(
            name,
            asset=dg.AssetKey([experiment.name, layer]),
            description=question[0].upper() + question[1:] + ".",
            blocking=True,  # a warning stops nothing all the same
            partitions_def=partitions,
        )
        for name, question in CHECKS.get(layer, {}).items()
    ]


def look(db: Warehouse, subject: Subject) -> list[Finding]:
    """All findings about a layer; none where it has no checks."""
    findings: list[Finding] = []
    if subject.layer in LOOKS:
        try:
            findings.extend(LOOKS[subject.layer](db, subject))
        except duckdb.TransactionException:
            # The error of a rule ended the transaction. What it says is enough to refuse the layer.
            if not any(finding.refuses for finding in findings):
                raise
    return findings


def refusal(subject: Subject, findings: Sequence[Finding]) -> dg.Failure:
    """What the failed step says: every check that refuses the layer, with its sentence."""
    refusing = [finding for finding in findings if finding.refuses]
    checks = dict.fromkeys(finding.check for finding in refusing)
    sentences = (f"check {c}: {summary([f for f in refusing if f.check == c])}" for c in checks)
    return dg.Failure(
        f"{subject.folder.name}/{subject.layer} is refused; the warehouse keeps what it had. "
        f"{'; '.join(sentences)}",
        allow_retries=False,
    )


def check_result(subject: Subject, name: str, findings: Sequence[Finding]) -> dg.AssetCheckResult:
    """The result of one check, by all findings about the layer."""
    answers = [finding for finding in findings if finding.check == name]
    heading = ["rule", "column", "found", "passed"]
    rows = [(f.rule, f.column, f.value, "yes" if f.passed else "NO") for f in answers]
    metadata: dict[str, dg.MetadataValue] = {
        "findings": dg.MetadataValue.md(markdown_table(heading, rows)),
    }
    page = subject.docs / "index.html"
    if page.is_file():
        # No link: browsers follow none from a web page to a file.
        metadata["data_docs"] = dg.MetadataValue.path(str(page.resolve()))
    refuses = any(finding.refuses for finding in answers)
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey([subject.folder.name, subject.layer]),
        check_name=name,
        passed=all(finding.passed for finding in answers),
        severity=dg.AssetCheckSeverity.ERROR if refuses else dg.AssetCheckSeverity.WARN,
        description=summary(answers),
        metadata=metadata,
    )
