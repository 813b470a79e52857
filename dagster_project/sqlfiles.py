"""Rendering of the SQL files under ``sql/``.

Files are Jinja templates so that one file serves every experiment. Only identifiers are filled in,
as ``Identifier`` objects made here from a checked declaration; a plain string in a placeholder is
refused. Values are bound: ``{{ bind.name }}`` stands for the bound parameter ``$name``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import jinja2

from dagster_project.settings import SQL_FOLDER
from uplift_core.errors import UpliftError
from uplift_core.experiment import Experiment, Outcome

# Of outcomes: signed, and with room, so that whoever queries them may subtract and multiply.
TYPES = {"binary": "integer", "count": "double", "continuous": "double"}
EXACT = {"integer": "integer", "double": "decimal(38, 10)"}  # whose sums no order of rows can change


@dataclass(frozen=True)
class Identifier:
    """A quoted SQL identifier: of parts joined by dots."""

    sql: str

    @classmethod
    def of(cls, *parts: str) -> Identifier:
        """Quote each part."""
        return cls(".".join('"' + part.replace('"', '""') + '"' for part in parts))

    @classmethod
    def listed(cls, names: Iterable[str]) -> Identifier:
        """Several columns, separated by commas."""
        return cls(", ".join(cls.of(name).sql for name in names))

    def __str__(self) -> str:
        return self.sql


def literal(text: str) -> str:
    """A string as SQL, for what takes no bound values: SQL that a view or a file keeps, COMMENT."""
    return "'" + text.replace("'", "''") + "'"


def _only_identifiers(value: object) -> str:
    if isinstance(value, Identifier):
        return value.sql
    raise UpliftError(f"SQL template: {value!r} is no identifier; bind values as {{{{ bind.name }}}}")


_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(SQL_FOLDER),
    undefined=jinja2.StrictUndefined,
    finalize=_only_identifiers,
    autoescape=False,  # noqa: S701 - SQL, not HTML; placeholders take identifiers only
    keep_trailing_newline=True,
)


class _Binds:
    """``bind.name`` in a template: the bound parameter of that name."""

    def __getattr__(self, name: str) -> Identifier:
        return Identifier(f"${name}")


def render(file: str, **identifiers: object) -> str:
    """Render ``sql/<file>`` with identifiers filled in."""
    return _environment.get_template(file).render(bind=_Binds(), **identifiers)


def sql_sha256(*texts: str) -> str:
    """sha256 over SQL texts, in order."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@dataclass(frozen=True)
class OutcomeNames:
    """Identifiers of one outcome in raw, assignment and cells."""

    column: Identifier
    name: Identifier
    type: Identifier
    exact: Identifier
    sum: Identifier
    sum_sq: Identifier
    events: Identifier

    @classmethod
    def of(cls, outcome: Outcome) -> OutcomeNames:
        """The names that all layers use for this outcome."""
        return cls(
            column=Identifier.of(outcome.column),
            name=Identifier.of(outcome.name),
            type=Identifier(TYPES[outcome.kind]),
            exact=Identifier(EXACT[TYPES[outcome.kind]]),
            sum=Identifier.of(f"{outcome.name}_sum"),
            sum_sq=Identifier.of(f"{outcome.name}_sum_sq"),
            events=Identifier.of(f"{outcome.name}_events"),
        )


@dataclass(frozen=True)
class UserTables:
    """Identifiers of what is known and predicted of users; ``name`` is that of all three tables."""

    name: str
    raw: Identifier
    features: Identifier
    scores: Identifier


@dataclass(frozen=True)
class Tables:
    """Identifiers of the tables of one experiment: the layer's schema, the experiment's name."""

    name: str
    raw: Identifier
    features: Identifier
    assignment: Identifier
    scores: Identifier
    binned: Identifier
    feature_cells: Identifier
    user_cells: Identifier
    cells: Identifier
    predictions: Identifier
    histories: Mapping[str, Identifier]  # by name of the declared table
    population: UserTables  # of the users to decide about, if other than the experiment's

    @classmethod
    def of(cls, experiment: Experiment) -> Tables:
        """The tables of ``experiment``."""
        name = experiment.name
        training = {
            what: Identifier.of("training", f"{name}_{what}")
            for what in ("binned", "feature_cells", "user_cells", "cells", "predictions")
        }
        layers = ("raw", "features", "assignment", "scores")
        histories = {table: Identifier.of("raw", f"{name}_{table}") for table in experiment.tables}
        others = {
            layer: Identifier.of(layer, f"{name}_population") for layer in ("raw", "features", "scores")
        }
        return cls(
            name=name,
            **{layer: Identifier.of(layer, name) for layer in layers},
            **training,
            histories=histories,
            population=UserTables(f"{name}_population", **others),
        )

    @property
    def users(self) -> UserTables:
        """Those of the experiment's own users."""
        return UserTables(self.name, self.raw, self.features, self.scores)
