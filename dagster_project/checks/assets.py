"""The checks as Dagster runs them: one step a table, one result a check.

A critical finding fails the step, and nothing downstream of the table is touched; a warning is shown.
"""

# No postponed annotations here: Dagster reads those of a check as they stand.
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from dagster_project.assets.common import WAREHOUSE_POOL
from dagster_project.checks.findings import Finding, record, summary
from dagster_project.checks.maturity import check_maturity
from dagster_project.checks.profiles import check_feature_drift
from dagster_project.checks.statistics import (
    check_balance,
    check_leakage,
    check_predictability,
    check_sample_ratio,
    check_score_drift,
)
from dagster_project.folders import ExperimentFolder
from dagster_project.markdown import markdown_table
from dagster_project.resources import Engine
from dagster_project.warehouse import Warehouse

# That a check knows the dates of its list is all that we use of it.
warnings.filterwarnings("ignore", message=".*partitions_def on an AssetCheckSpec")


@dataclass(frozen=True)
class Asked:
    """What the checks of one layer are made of."""

    folder: ExperimentFolder
    engine: Engine
    dates: Sequence[str]

    @property
    def docs(self) -> Path:
        """Folder of Great Expectations' pages."""
        return self.engine.paths.root / "data_docs" / self.folder.name


Look = Callable[[Warehouse, Asked], Iterator[Finding]]


def expectations(db: Warehouse, asked: Asked, layer: str) -> Iterator[Finding]:
    """The layer's suite, by Great Expectations."""
    # Its import takes seconds, which only a check that runs should pay for.
    from dagster_project.checks import suites  # noqa: PLC0415
    from dagster_project.checks.expectations import validate  # noqa: PLC0415

    folder = asked.folder
    if layer == "treat_list":
        batches = suites.treat_list_suite(folder, asked.dates)
    else:
        batches = getattr(suites, f"{layer}_suite")(db, folder)
    yield from validate(db, f"{folder.name}/{layer}", batches, asked.docs / layer)


def _raw(db: Warehouse, asked: Asked) -> Iterator[Finding]:
    yield from expectations(db, asked, "raw")
    yield from check_maturity(db, asked.folder)


def _features(db: Warehouse, asked: Asked) -> Iterator[Finding]:
    yield from expectations(db, asked, "features")
    yield from check_feature_drift(db, asked.folder)


def _assignment(db: Warehouse, asked: Asked) -> Iterator[Finding]:
    yield from expectations(db, asked, "assignment")
    yield from check_sample_ratio(db, asked.folder)


def _cells(db: Warehouse, asked: Asked) -> Iterator[Finding]:
    yield from check_balance(db, asked.folder)
    yield from check_predictability(db, asked.folder, asked.engine.threads)
    yield from check_leakage(db, asked.folder)


def _scores(db: Warehouse, asked: Asked) -> Iterator[Finding]:
    yield from expectations(db, asked, "scores")
    yield from check_score_drift(db, asked.folder)


def _population(db: Warehouse, asked: Asked) -> Iterator[Finding]:
    from dagster_project.checks import suites  # noqa: PLC0415 - as above
    from dagster_project.checks.expectations import validate  # noqa: PLC0415

    folder, own = asked.folder, asked.folder.tables.population
    batches = suites.features_suite(db, folder, own)
    yield from validate(db, f"{folder.name}/population", batches, asked.docs / "population")
    yield from check_feature_drift(db, folder, own.features)


def _treat_list(db: Warehouse, asked: Asked) -> Iterator[Finding]:
    yield from expectations(db, asked, "treat_list")


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
}


def layer_checks(
    folder: ExperimentFolder, layer: str, partitions: dg.PartitionsDefinition | None = None
) -> dg.AssetChecksDefinition:
    """All checks of one layer of an experiment."""
    specs = [
        dg.AssetCheckSpec(
            name,
            asset=dg.AssetKey([folder.name, layer]),
            description=asked[0].upper() + asked[1:] + ".",
            blocking=True,  # a warning stops nothing all the same
            partitions_def=partitions,
        )
        for name, asked in CHECKS[layer].items()
    ]

    @dg.multi_asset_check(name=f"{folder.name}__{layer}_checks", specs=specs, pool=WAREHOUSE_POOL)
    def checks(context: dg.AssetCheckExecutionContext, engine: Engine) -> Iterator[dg.AssetCheckResult]:
        dates = context.op_execution_context.partition_keys if partitions else ()
        asked = Asked(folder, engine, dates)
        with engine.warehouse() as db:
            findings = list(LOOKS[layer](db, asked))
            record(db, folder.name, layer, findings)
        for name in CHECKS[layer]:
            yield _result(folder, asked, layer, name, [f for f in findings if f.check == name])

    return checks


def _result(
    folder: ExperimentFolder, asked: Asked, layer: str, name: str, findings: Sequence[Finding]
) -> dg.AssetCheckResult:
    failed = [finding for finding in findings if not finding.passed]
    critical = any(not finding.warn for finding in failed)
    heading = ["rule", "column", "found", "passed"]
    rows = [(f.rule, f.column, f.value, "yes" if f.passed else "NO") for f in findings]
    metadata: dict[str, dg.MetadataValue] = {
        "findings": dg.MetadataValue.md(markdown_table(heading, rows)),
    }
    page = asked.docs / layer / "index.html"
    if page.is_file():
        # No link: browsers follow none from a web page to a file.
        metadata["data_docs"] = dg.MetadataValue.path(str(page.resolve()))
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey([folder.name, layer]),
        check_name=name,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR if critical else dg.AssetCheckSeverity.WARN,
        description=summary(findings),
        metadata=metadata,
    )
