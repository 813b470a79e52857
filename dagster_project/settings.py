"""Settings of the batch, from the environment (prefix ``UPLIFT_``)."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent
SQL_FOLDER = REPOSITORY / "sql"


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
    exports: str = ""  # a path or an fsspec URL, e.g. s3://bucket/lists; UPLIFT_HOME/exports if empty
    memory_limit: str = "4GB"  # of DuckDB; beyond it, it spills to UPLIFT_HOME/tmp
    threads: int = 0  # of DuckDB and XGBoost; 0: all cores
    variants: dict[str, str] = {}  # experiment -> which of its published forms, where not the first
    files: dict[str, OwnFileSetting] = {}  # experiment -> a file that no declaration knows
    download: bool = True  # whether source files may be fetched from the network
