"""The bulk work of a run: all steps that touch every row.

Assets request the work and a ``Compute`` does it: ``local.LocalCompute`` in the warehouse,
``cluster.Cluster`` on Dask's workers, part by part, with the same SQL files and equal results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dagster_project.decisions.role_counts import ListRequest
from dagster_project.decisions.roles import Roles
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export_files import Sheet
from dagster_project.inputs.own_files import SourceFile
from dagster_project.training.fitting import Trained
from dagster_project.warehouse.connection import Warehouse
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges

Log = Callable[[str], None]


@dataclass(frozen=True)
class LayerQuery:
    """The SELECT that makes one table with one row per user.

    Attributes:
        layer: DuckDB schema of the table, whose name is the experiment's.
        sql: makes each row from one row of ``raw.<experiment>``.
        binds: values bound into ``sql``.
        author: the file that errors name, if a user wrote ``sql``; else empty.
    """

    layer: str
    sql: str
    binds: Mapping[str, object] = field(default_factory=dict)
    author: str = ""


class Compute(Protocol):
    """An engine that processes rows. Afterwards the warehouse has the tables, or views of the rows."""

    def load(self, db: Warehouse, experiment: BatchExperiment, source: SourceFile) -> tuple[int, str]:
        """Create ``raw.<experiment>``; return the number of users and the sha256 of all files read."""
        ...

    def per_user(self, db: Warehouse, experiment: BatchExperiment, query: LayerQuery) -> int:
        """Create ``<layer>.<experiment>`` by a query; return its row count."""
        ...

    def cells(self, db: Warehouse, experiment: BatchExperiment) -> BinEdges:
        """Find the edges of bins, and aggregate users into feature cells and cells."""
        ...

    def train(
        self,
        db: Warehouse,
        experiment: BatchExperiment,
        edges: BinEdges,
        parameters: Mapping[str, LearnerParameters],
        log: Log,
    ) -> dict[str, Trained]:
        """Fit and judge all learners of every treatment arm, each with its parameters."""
        ...

    def score(self, db: Warehouse, experiment: BatchExperiment, model: Path) -> int:
        """Predict all cells and create ``scores.<experiment>`` by a bundle; return the row count."""
        ...

    def roles(self, db: Warehouse, experiment: BatchExperiment, request: ListRequest) -> Roles:
        """Give every user a role in a list.

        Raises:
            DataError: scores are not finite, or costs or values are invalid.
        """
        ...

    def export(
        self, db: Warehouse, sheet: Sheet, folder: Path, formats: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Write one sheet in all formats; return its files' entries for the manifest."""
        ...

    @property
    def link(self) -> str:
        """URL of the page that shows the work; empty if there is none."""
        ...
