"""Settings of the batch, from the environment (prefix ``UPLIFT_``)."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from uplift_core.errors import ExperimentError

REPOSITORY = Path(__file__).resolve().parent.parent
SQL_FOLDER = REPOSITORY / "sql"
OWN_EXPERIMENTS = REPOSITORY / "experiments"


class OwnFileSetting(BaseModel):
    """A file of one's own for an experiment, with the designed share of every arm."""

    model_config = ConfigDict(extra="forbid")

    path: Path
    shares: dict[str, float]


class Settings(BaseSettings):
    """Where things lie and how much of the machine the batch may use."""

    model_config = SettingsConfigDict(env_prefix="UPLIFT_")

    home: Path = REPOSITORY / ".uplift"
    data_dir: Path | None = None  # searched first for source files
    # Folders of own experiments, separated as in PATH; one that is missing is refused if it was named.
    experiments: str = str(OWN_EXPERIMENTS)
    exports: str = ""  # a path or an fsspec URL, e.g. s3://bucket/lists; UPLIFT_HOME/exports if empty
    first_night: date | None = (
        None  # that lists can be made for; the day of the home's first run if None
    )
    memory_limit: str = "4GB"  # of DuckDB; beyond it, it spills to UPLIFT_HOME/tmp
    threads: int = 0  # of DuckDB and XGBoost; 0: all cores
    variants: dict[str, str] = {}  # experiment -> which of its published forms, where not the first
    files: dict[str, OwnFileSetting] = {}  # experiment -> a file that no declaration knows
    # Dask: "local" for processes of this machine, or a scheduler's address; empty: no cluster.
    cluster: str = ""
    cluster_workers: Annotated[int, Field(ge=0)] = 0  # processes of "local"; 0: one a core
    cluster_cells: Annotated[int, Field(ge=1)] = 20_000_000  # that one worker trains on
    cluster_users: Annotated[int, Field(ge=1)] = 2_000_000  # of a list, that one task ranks at most
    cluster_ca: Path | None = None  # of TLS: the authority's certificate, one's own, and its key
    cluster_cert: Path | None = None
    cluster_key: Path | None = None
    # Whether a warehouse may lack nights and suppressions that are published of its experiments.
    new_ledger: bool = False
    download: bool = True  # whether source files may be fetched from the network

    @property
    def experiment_roots(self) -> list[Path]:
        """The folders in which own experiments are looked for.

        Raises:
            ExperimentError: one that was named is no folder.
        """
        roots = [
            Path(part).expanduser().absolute() for part in self.experiments.split(os.pathsep) if part
        ]
        for root in roots:
            if not root.is_dir() and root != OWN_EXPERIMENTS:
                raise ExperimentError(
                    f"UPLIFT_EXPERIMENTS names {root}, which is no folder; create or correct it"
                )
        return roots
