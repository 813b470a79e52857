"""Settings of the service, from the environment (prefix ``UPLIFT_``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

from uplift_core.artifacts.home import Home, project_folder
from uplift_core.artifacts.id_key import read_id_key
from uplift_core.experiment.user_ids import IdKey

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class Settings(BaseSettings):
    """Where the batch publishes, who may send requests, and how large they may be."""

    model_config = SettingsConfigDict(env_prefix="UPLIFT_")

    home: Path = project_folder() / ".uplift"
    # Seconds until a published snapshot that could not be loaded is tried again.
    retry_seconds: Annotated[float, Field(ge=0)] = 5.0
    # Hours after which the snapshot in use is hashed again; 0: only when its file has changed.
    verify_hours: Annotated[float, Field(ge=0)] = 6.0
    # Answers say `stale` when the published snapshot is older than this.
    stale_hours: Annotated[float, Field(gt=0)] = 36.0
    # sha256 of every accepted key, in hex; several while one replaces another. Empty: no key is needed.
    api_keys: tuple[Sha256, ...] = ()
    # Names by which the service may be addressed; "*" for all.
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    # Bytes of a batch, as it is sent and once it is decompressed.
    max_body_bytes: Annotated[int, Field(ge=1)] = 64 * 2**20
    # Bytes of any other request, and of one row of a batch in JSON.
    max_score_bytes: Annotated[int, Field(ge=1)] = 64 * 2**10
    max_batch_users: Annotated[int, Field(ge=1)] = 100_000
    # Seconds in which a request must arrive whole, and each part of an answer be taken.
    request_seconds: Annotated[float, Field(gt=0)] = 60.0
    # Whom to tell when a published snapshot is refused: URLs of apprise, separated by blanks.
    notify: SecretStr = SecretStr("")
    # A file that decisions are appended to, one JSON line each; without attributes and, unless
    # `log_user_ids`, without user ids.
    decision_log: Path | None = None
    # Whether a decision that cannot be logged is refused (503) instead of given.
    decision_log_required: bool = False
    log_user_ids: bool = False

    @property
    def bundles(self) -> Path:
        """The folder of model bundles: one subfolder per version."""
        return self.home / "bundles"

    @property
    def published(self) -> Path:
        """The folder of snapshots and of the pointer to the current one."""
        return self.home / "published"

    def id_key(self) -> IdKey | None:
        """Read the key of text ids; None if there is none.

        Raises:
            UpliftError: the file is no key.
        """
        return read_id_key(Home(self.home))

    @property
    def register(self) -> Path:
        """The register of consent."""
        return Home(self.home).register
