"""Names of the tables and columns of one experiment, as quoted identifiers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dagster_project.warehouse.sql import Identifier
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.design import Outcome

# Of outcomes: signed, and with room, so that whoever queries them may subtract and multiply.
TYPES = {"binary": "integer", "count": "double", "continuous": "double"}


EXACT = {"integer": "integer", "double": "decimal(38, 10)"}  # whose sums no order of rows can change


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


VIEW = "VIEW"  # as DuckDB's information schema calls it


LEDGER = ("decisions", "treat_list")


LEDGER_ROWS = ("decisions", "treat_list_here")  # its table, once it is a view; see ledger.py


PROOF = "proof"  # the evaluator's, no experiment's own
