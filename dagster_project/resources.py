"""The resource of the assets: the home, the data folder and the limits of the machine's use."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Self

import dagster as dg

from dagster_project.compute import Compute
from dagster_project.compute.local import LocalCompute
from dagster_project.decisions.first_night import first_night
from dagster_project.decisions.ledger import refuse_lost_ledger
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.stores import Store, open_store
from dagster_project.inputs.own_files import SourceFile
from dagster_project.inputs.sources import Log, SearchPlaces, find_source, provided_file
from dagster_project.settings import Settings
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.opening import open_warehouse
from uplift_core.artifacts.home import Home
from uplift_core.boosting.side_by_side import cores
from uplift_core.errors import UpliftError

WAITING = logging.getLogger("uplift.waiting")  # dagster.yaml writes its lines into the run's log


class Engine(dg.ConfigurableResource):
    """The batch's environment: home, data folder, limits."""

    home: str
    data_dir: str | None = None
    exports: str = ""
    first_night: str = "2025-01-01"  # the first date of lists, YYYY-MM-DD
    memory_limit: str = "4GB"
    threads: int = 0
    download: bool = True
    new_ledger: bool = False
    cluster: str = ""
    cluster_workers: int = 0
    cluster_cells: int = 20_000_000
    cluster_users: int = 2_000_000
    cluster_ca: str = ""
    cluster_cert: str = ""
    cluster_key: str = ""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Build the engine from the settings."""
        return cls(
            home=str(settings.home.resolve()),
            data_dir=str(settings.data_dir.resolve()) if settings.data_dir else None,
            exports=settings.exports,
            first_night=first_night(Home(settings.home.resolve()), settings.first_night),
            memory_limit=settings.memory_limit,
            threads=settings.threads,
            download=settings.download,
            new_ledger=settings.new_ledger,
            cluster=settings.cluster,
            cluster_workers=settings.cluster_workers,
            cluster_cells=settings.cluster_cells,
            cluster_users=settings.cluster_users,
            cluster_ca=str(settings.cluster_ca or ""),
            cluster_cert=str(settings.cluster_cert or ""),
            cluster_key=str(settings.cluster_key or ""),
        )

    @property
    def paths(self) -> Home:
        """The folders below the home."""
        return Home(Path(self.home))

    @property
    def store(self) -> Store:
        """The store of exports."""
        return open_store(self.exports or str(self.paths.exports), self.paths.scratch)

    @property
    def compute(self) -> Compute:
        """The ``Compute`` that processes rows: local, or a cluster.

        Raises:
            dagster.Failure: a cluster is configured, but Dask is not installed.
        """
        if not self.cluster:
            return LocalCompute(self.threads, self.paths.sources)
        try:  # Dask is an extra, and its import takes seconds
            from dagster_project.compute.cluster.cluster import Cluster  # noqa: PLC0415
            from dagster_project.compute.cluster.dask_client import Address  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise dg.Failure(
                f"UPLIFT_CLUSTER = {self.cluster} needs {error.name}; install the extra 'cluster', or "
                "unset it"
            ) from error
        return Cluster(
            home=self.paths,
            address=Address(
                self.cluster,
                self.cluster_workers,
                ca=self.cluster_ca,
                certificate=self.cluster_cert,
                key=self.cluster_key,
            ),
            memory_limit=self.memory_limit,
            threads=self.threads or cores(),
            cells_per_worker=self.cluster_cells,
            range_users=self.cluster_users,
        )

    def where(self) -> dict[str, dg.MetadataValue]:
        """Return metadata with the link to the page that shows the work, if there is one."""
        link = self.compute.link
        return {"dask": dg.MetadataValue.url(link)} if link else {}

    @contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        """Open the warehouse in one transaction; expected errors become Dagster failures.

        If another process has the file open, such as an analyst's shell, wait for it.
        """
        with (
            expected_errors(),
            open_warehouse(
                self.paths,
                memory_limit=self.memory_limit,
                threads=self.threads,
                log=WAITING.warning,
            ) as db,
        ):
            yield db

    @contextmanager
    def ledger(self, experiment: BatchExperiment) -> Iterator[Warehouse]:
        """Open the warehouse for a step that needs an experiment's ledger; refuse a lost ledger."""
        with self.warehouse() as db:
            refuse_lost_ledger(db, self.paths, experiment.name, start_anew=self.new_ledger)
            yield db

    def source(self, experiment: BatchExperiment, log: Log) -> SourceFile:
        """Find the experiment's source file and verify it."""
        with expected_errors():
            places = SearchPlaces(
                cache=self.paths.sources,
                data_dir=Path(self.data_dir) if self.data_dir else None,
                may_download=self.download,
            )
            return find_source(experiment.declaration, places, folder=experiment.path, log=log)

    def population(self, experiment: BatchExperiment) -> AbstractContextManager[SourceFile]:
        """Find the file of the users to decide about; a table's copy is removed at the end."""
        cache, folder = self.paths.sources, experiment.path
        return provided_file(experiment.declaration, "population", cache=cache, folder=folder)


@contextmanager
def expected_errors() -> Iterator[None]:
    """Turn this project's errors into a Dagster failure that shows only the message."""
    try:
        yield
    except UpliftError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


WAREHOUSE_POOL = "warehouse"
