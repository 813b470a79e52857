"""Settings of the service, from the environment (prefix ``UPLIFT_``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Where the batch publishes, and how patient the service is with what is broken there."""

    model_config = SettingsConfigDict(env_prefix="UPLIFT_")

    home: Path = REPOSITORY / ".uplift"
    # Seconds until something published that could not be loaded is tried again.
    retry_seconds: Annotated[float, Field(ge=0)] = 5.0

    @property
    def bundles(self) -> Path:
        """Model bundles, one folder a version."""
        return self.home / "bundles"

    @property
    def published(self) -> Path:
        """Snapshots and the pointer to the current one."""
        return self.home / "published"
