"""Bulk work on this machine: tables in one DuckDB file, the warehouse or a worker's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_project.compute import Compute, LayerQuery, Log
from dagster_project.decisions.role_counts import ListRequest
from dagster_project.decisions.roles import Roles, assign_roles
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export_files import Sheet, write_whole
from dagster_project.inputs.own_files import SourceFile
from dagster_project.inputs.raw import create_by, load_raw
from dagster_project.training.cells import find_edges, make_cells, of_parts
from dagster_project.training.fitting import Recipe, Trained, fits_of_arm, train_arm
from dagster_project.training.scoring import score_users
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.artifacts import bundle
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.boosting.side_by_side import after_each
from uplift_core.cells import BinEdges
from uplift_core.progress import ProgressLog


@dataclass(frozen=True)
class LocalCompute(Compute):
    """A ``Compute`` that works in the warehouse.

    Attributes:
        threads: number of threads to train with; 0: all cores.
        cache: folder of copies of tables; None: the folder of temporary files.
    """

    threads: int = 0
    cache: Path | None = None

    def load(self, db: Warehouse, experiment: BatchExperiment, source: SourceFile) -> tuple[int, str]:
        """See ``Compute.load``."""
        return load_raw(db, experiment, source, self.cache)

    def per_user(self, db: Warehouse, experiment: BatchExperiment, query: LayerQuery) -> int:
        """See ``Compute.per_user``."""
        table = Identifier.of(query.layer, experiment.name)
        if query.author:
            return create_by(db, table, query.sql, query.binds, where=query.author)
        return db.create(table, query.sql, query.binds)

    def cells(self, db: Warehouse, experiment: BatchExperiment) -> BinEdges:
        """See ``Compute.cells``."""
        edges = find_edges(db, experiment)
        make_cells(db, experiment, edges)
        for what in ("user_cells", "feature_cells"):
            db.drop(of_parts(experiment, what))  # left by an earlier run on workers
        return edges

    def train(
        self,
        db: Warehouse,
        experiment: BatchExperiment,
        edges: BinEdges,
        parameters: Mapping[str, LearnerParameters],
        log: Log,
    ) -> dict[str, Trained]:
        """See ``Compute.train``."""
        trained = {}
        decides = experiment.declaration.defaults.learner or "stack"
        recipes = {
            chosen: Recipe(edges, chosen, self.threads, decides=decides)
            for chosen in parameters.values()
        }
        for arm, chosen in parameters.items():
            log(f"training {arm} against the control")
            with after_each(ProgressLog(log, f"{arm}: fits done", fits_of_arm(experiment))):
                trained[arm] = train_arm(db, experiment, arm, recipes[chosen])
        return trained

    def score(self, db: Warehouse, experiment: BatchExperiment, model: Path) -> int:
        """See ``Compute.score``."""
        return score_users(db, experiment, bundle.load(model))

    def roles(self, db: Warehouse, experiment: BatchExperiment, request: ListRequest) -> Roles:
        """See ``Compute.roles``."""
        return assign_roles(db, experiment, request)

    def export(
        self, db: Warehouse, sheet: Sheet, folder: Path, formats: Sequence[str]
    ) -> list[dict[str, Any]]:
        """See ``Compute.export``."""
        return write_whole(db, sheet, folder, formats)

    @property
    def link(self) -> str:
        """Return an empty text: local work has no page to watch."""
        return ""
