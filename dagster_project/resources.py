"""What assets need besides data: where the home is and how much of the machine they may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import dagster as dg

from dagster_project.folders import ExperimentFolder
from dagster_project.settings import Settings
from dagster_project.sources import SourceFile, Tell, find_source
from dagster_project.stores import Store, open_store
from dagster_project.warehouse import Home, Warehouse, open_warehouse
from uplift_core.errors import UpliftError


class Engine(dg.ConfigurableResource):
    """The batch's surroundings: home, data folder, limits."""

    home: str
    data_dir: str | None = None
    exports: str = ""
    memory_limit: str = "4GB"
    threads: int = 0
    download: bool = True

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The engine that the environment describes."""
        return cls(
            home=str(settings.home.resolve()),
            data_dir=str(settings.data_dir.resolve()) if settings.data_dir else None,
            exports=settings.exports,
            memory_limit=settings.memory_limit,
            threads=settings.threads,
            download=settings.download,
        )

    @property
    def paths(self) -> Home:
        """The folders below the home."""
        return Home(Path(self.home))

    @property
    def store(self) -> Store:
        """Where exports go."""
        return open_store(self.exports or str(self.paths.exports), self.paths.scratch)

    @contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        """The warehouse in one transaction; expected errors become Dagster failures."""
        with (
            expected_errors(),
            open_warehouse(self.paths, memory_limit=self.memory_limit, threads=self.threads) as db,
        ):
            yield db

    def source(self, folder: ExperimentFolder, tell: Tell) -> SourceFile:
        """The experiment's source file, verified."""
        with expected_errors():
            return find_source(
                folder.experiment,
                self.paths,
                folder=folder.folder,
                data_dir=Path(self.data_dir) if self.data_dir else None,
                may_download=self.download,
                tell=tell,
            )


@contextmanager
def expected_errors() -> Iterator[None]:
    """Turn this project's own errors into a Dagster failure that shows the message alone."""
    try:
        yield
    except UpliftError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
