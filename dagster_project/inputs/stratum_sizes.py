"""Treated users by stratum, or by their chance, against the design."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.clusters import assigned_units
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.arrays import Doubles
from uplift_core.diagnostics.sample_ratio import SampleRatio, sample_ratio_within


@dataclass(frozen=True)
class StratumSizes:
    """The units that were assigned, by stratum or by twentieth of the chance; arrays are (n_strata,).

    Attributes:
        names: what the units of a stratum have in common, in words.
        n: units.
        n_treated: units under treatment.
        expected: sum of the units' chances.
        variance: sum of chance * (1 - chance).
        arm: name of the treatment.
        units: ``clusters`` or ``users``.
    """

    names: list[str]
    n: Doubles
    n_treated: Doubles
    expected: Doubles
    variance: Doubles
    arm: str
    units: str

    @property
    def ratio(self) -> SampleRatio:
        """The test of all strata."""
        return sample_ratio_within(
            self.n, self.n_treated, expected=self.expected, variance=self.variance, arm=self.arm
        )

    @property
    def worst(self) -> int:
        """The stratum that differs most, in errors."""
        return int(np.argmax(np.abs(self.n_treated - self.expected) / np.sqrt(self.variance)))


def stratum_sizes(db: Warehouse, experiment: BatchExperiment) -> StratumSizes:
    """Count the units of each stratum, from ``assignment.<experiment>``."""
    declaration, tables = experiment.declaration, experiment.tables
    (arm,) = declaration.treatments
    units = assigned_units(db, experiment)
    parts = [f"raw.{Identifier.of(name)}::varchar" for name in declaration.strata]
    sql = render(
        "quality/stratum_sizes.sql",
        assignment=tables.assignment,
        raw=tables.raw,
        strata=bool(parts),
        stratum_name=Identifier(" || ', ' || ".join(parts)),
        whole_clusters=units.whole_clusters,
    )
    rows = db.rows(sql, {"arm": arm})
    n, n_treated, expected, variance = np.asarray([row[1:] for row in rows], dtype=np.float64).T
    names = [str(name) for name, *_ in rows]
    return StratumSizes(names, n, n_treated, expected, variance, arm, units.word)
