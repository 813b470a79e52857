"""The bulk work of a run: all that touches every row.

Assets say what is to be done; a ``Compute`` does it: ``local.LocalCompute`` in the warehouse,
``cluster.Cluster`` on Dask's workers, part by part, with the same SQL files and equal results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from dagster_project.decisions.roles import ListRequest, Roles
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export_files import Sheet
from dagster_project.inputs.sources import SourceFile
from dagster_project.warehouse.connection import Warehouse
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges
from uplift_core.evaluation.gate import Verdict
from uplift_core.learners.contrast import ContrastModel

Tell = Callable[[str], None]


class Compute(Protocol):
    """Where rows are worked on. Afterwards the warehouse has the tables, or views of the same rows."""

    def load(self, db: Warehouse, experiment: BatchExperiment, source: SourceFile) -> tuple[int, str]:
        """Make ``raw.<experiment>``; returns its users and the sha256 of all files that were read."""
        ...

    def per_user(  # noqa: PLR0913 - of whom, which layer, how
        self,
        db: Warehouse,
        experiment: BatchExperiment,
        layer: str,
        sql: str,
        binds: Mapping[str, object] = {},
        *,
        whose: str = "",
    ) -> int:
        """Make ``<layer>.<experiment>`` by ``sql``, each row from one row of raw; returns its rows.

        ``whose`` says whose SQL it is, where a user wrote it.
        """
        ...

    def cells(self, db: Warehouse, experiment: BatchExperiment) -> BinEdges:
        """Find the edges of bins and add users up: feature cells and cells."""
        ...

    def train(
        self,
        db: Warehouse,
        experiment: BatchExperiment,
        edges: BinEdges,
        parameters: Mapping[str, LearnerParameters],
        tell: Tell,
    ) -> dict[str, tuple[ContrastModel, Verdict]]:
        """Fit and judge all learners of every treatment arm, each with its parameters."""
        ...

    def score(self, db: Warehouse, experiment: BatchExperiment, model: Path) -> int:
        """Make all cells' predictions and ``scores.<experiment>`` by a bundle; returns how many."""
        ...

    def roles(self, db: Warehouse, experiment: BatchExperiment, request: ListRequest) -> Roles:
        """Give every user a role in a list.

        Raises:
            DataError: scores that are not finite, costs or values that cannot be meant.
        """
        ...

    def export(
        self, db: Warehouse, sheet: Sheet, folder: Path, formats: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Write what is exported under one name, in all formats; returns its files for the manifest."""
        ...

    @property
    def link(self) -> str:
        """Where to watch the work; empty if nowhere."""
        ...
