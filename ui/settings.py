"""Settings of the UI, from the environment (prefix ``UPLIFT_``)."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where the API is and how long to wait for it."""

    model_config = SettingsConfigDict(env_prefix="UPLIFT_")

    api_url: str = "http://127.0.0.1:8000"
    api_timeout: float = 10.0  # seconds
