"""Settings of the batch, from the environment (prefix ``UPLIFT_``)."""

from __future__ import annotations

import os
from datetime import date, time
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from uplift_core.artifacts.home import CHECKOUT, project_folder
from uplift_core.errors import ExperimentError

REPOSITORY = CHECKOUT
PACKAGED_SQL = Path(__file__).resolve().parent / "sql"  # in the wheel; a checkout has it at its top
SQL_FOLDER = PACKAGED_SQL if PACKAGED_SQL.is_dir() else REPOSITORY / "sql"
OWN_EXPERIMENTS = project_folder() / "experiments"


class OwnFileSetting(BaseModel):
    """Your own file for an experiment, with the designed share of every arm."""

    model_config = ConfigDict(extra="forbid")

    path: Path
    shares: dict[str, float]


class Settings(BaseSettings):
    """Settings of folders and files, and of how much of the machine the batch may use."""

    model_config = SettingsConfigDict(env_prefix="UPLIFT_")

    home: Path = project_folder() / ".uplift"
    data_dir: Path | None = None  # searched first for source files
    # Folders with your own experiments, separated as in PATH; a named folder must exist.
    experiments: str = str(OWN_EXPERIMENTS)
    exports: str = ""  # a path or an fsspec URL, e.g. s3://bucket/lists; UPLIFT_HOME/exports if empty
    # The file whose key of text ids a new home takes over; None: the home makes a key.
    id_key_file: Path | None = None
    first_night: date | None = None  # the first date of lists; None: the day of the home's first run
    memory_limit: str = "4GB"  # memory of DuckDB; beyond it, DuckDB spills to UPLIFT_HOME/tmp
    threads: int = 0  # threads of DuckDB and XGBoost; 0: all cores
    variants: dict[str, str] = {}  # experiment -> its published variant, if not the first one
    files: dict[str, OwnFileSetting] = {}  # experiment -> your own file instead of the declared one
    # Dask: "local" for processes of this machine, or a scheduler's address; empty: no cluster.
    cluster: str = ""
    cluster_workers: Annotated[int, Field(ge=0)] = 0  # processes of "local"; 0: one per core
    cluster_cells: Annotated[int, Field(ge=1)] = 20_000_000  # most cells that one worker trains alone
    cluster_users: Annotated[int, Field(ge=1)] = 2_000_000  # most users of a list that one task ranks
    cluster_ca: Path | None = None  # TLS: the authority's certificate, your certificate, and its key
    cluster_cert: Path | None = None
    cluster_key: Path | None = None
    # Whom to tell of changes of state: URLs of apprise, separated by blanks; empty: nobody.
    notify: SecretStr = SecretStr("")
    list_due: time | None = None  # when today's lists must be published, HH:MM in UTC; None: whenever
    notify_link: str = ""  # the address of the Dagster UI, for links in messages
    # True: a warehouse may lack published nights and suppressions of its experiments.
    new_ledger: bool = False
    download: bool = True  # true: source files may be downloaded from the network

    @property
    def experiment_roots(self) -> list[Path]:
        """The folders with your own experiments.

        Raises:
            ExperimentError: a named path is no folder.
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
