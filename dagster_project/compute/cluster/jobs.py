"""Submit one experiment's work to a cluster's workers: queries on parts, and merging of parts."""

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

FAN_IN = 8  # files that one task merges

T = TypeVar("T")


@dataclass(frozen=True)
class Tasks:
    """Tasks on the parts of one experiment.

    Attributes:
        home: the home; all workers see its files at the same path.
        address: the scheduler's address.
        limits: limits of a task on one part; such tasks run in parallel.
        threads: threads of a task that runs alone.
        experiment: the experiment's name.
    """

    home: Home
    address: Address
    limits: Limits
    threads: int
    experiment: str

    @property
    def workers(self) -> Workers:
        """Return all workers."""
        return connected(self.address, self.home.root)

    @property
    def wide(self) -> Limits:
        """Limits of a task that runs alone: all threads."""
        return replace(self.limits, threads=self.threads)

    def new(self, layer: str) -> Generation:
        """Start a new generation of a layer."""
        return Generation.new(self.home, self.experiment, layer)

    def run(self, what: str, task: Callable[..., T], calls: Sequence[tuple]) -> list[T]:
        """Call ``task`` with every tuple of arguments on workers; return the results in order."""
        return self.workers.run(f"{self.experiment}-{what}", task, calls)

    def query(self, what: str, queries: Sequence[Query]) -> list[Part]:
        """Write the rows of every query; return the parts in order."""
        limits = self.wide if len(queries) == 1 else self.limits
        return self.run(what, work.run_query, [(limits, query) for query in queries])

    def merge(self, layer: str, sql: str, files: Sequence[Path]) -> Path:
        """Merge files, ``FAN_IN`` at a time, until one is left."""
        generation, n_written = self.new(layer), 0
        while len(files) > 1 or not n_written:
            groups = [files[i : i + FAN_IN] for i in range(0, len(files), FAN_IN)]
            queries = [
                Query(sql, generation.path(n_written + i), {MERGED: [str(file) for file in group]})
                for i, group in enumerate(groups)
            ]
            files = [part.path for part in self.query(layer, queries)]
            n_written += len(groups)
        return files[0]
