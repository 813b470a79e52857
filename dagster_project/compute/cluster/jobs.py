"""How one experiment's work is handed to a cluster's workers: queries on parts, and adding parts up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from dagster_project.compute.cluster import tasks as work
from dagster_project.compute.cluster.dask_client import Address, Workers, connected
from dagster_project.compute.cluster.tasks import MERGED, Limits, Query
from dagster_project.warehouse.partitions import Generation, Part
from uplift_core.artifacts.home import Home

FAN_IN = 8  # files that one task adds up

T = TypeVar("T")


@dataclass(frozen=True)
class Tasks:
    """Work on the parts of ``experiment``.

    Attributes:
        home: whose files all workers see at the same path.
        address: of the scheduler.
        limits: of a task that works on one part: its parallelism is that of the parts.
        threads: of a task that works alone.
        experiment: name of the experiment.
    """

    home: Home
    address: Address
    limits: Limits
    threads: int
    experiment: str

    @property
    def workers(self) -> Workers:
        """All workers."""
        return connected(self.address, self.home.root)

    @property
    def wide(self) -> Limits:
        """Of a task that works alone."""
        return replace(self.limits, threads=self.threads)

    def new(self, layer: str) -> Generation:
        """A new generation of a layer."""
        return Generation.new(self.home, self.experiment, layer)

    def run(self, what: str, task: Callable[..., T], calls: Sequence[tuple]) -> list[T]:
        """Call ``task`` with every tuple of arguments, on workers; answers in order."""
        return self.workers.run(f"{self.experiment}-{what}", task, calls)

    def query(self, what: str, queries: Sequence[Query]) -> list[Part]:
        """Write the rows of every query."""
        limits = self.wide if len(queries) == 1 else self.limits
        return self.run(what, work.run_query, [(limits, query) for query in queries])

    def merge(self, layer: str, sql: str, files: Sequence[Path]) -> Path:
        """Add files up, ``FAN_IN`` at a time, until one is left."""
        to, made = self.new(layer), 0
        while len(files) > 1 or not made:
            groups = [files[i : i + FAN_IN] for i in range(0, len(files), FAN_IN)]
            queries = [
                Query(sql, to.path(made + i), {MERGED: [str(file) for file in group]})
                for i, group in enumerate(groups)
            ]
            files = [part.path for part in self.query(layer, queries)]
            made += len(groups)
        return files[0]
