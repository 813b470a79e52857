"""Settings of the UI, from the environment (prefix ``UPLIFT_``)."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The API's address, and how long to wait for its answers."""

    model_config = SettingsConfigDict(env_prefix="UPLIFT_")

    api_url: str = "http://127.0.0.1:8000"
    api_timeout: float = 10.0  # seconds
