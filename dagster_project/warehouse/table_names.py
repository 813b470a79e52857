"""Names of the tables and columns of one experiment, as quoted identifiers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dagster_project.warehouse.sql import Identifier
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.design import Outcome

# Types of outcomes: signed and wide, so that a query may subtract and multiply them.
TYPES = {"binary": "integer", "count": "double", "continuous": "double"}


EXACT = {"integer": "integer", "double": "decimal(38, 10)"}  # types whose sums ignore the order of rows


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
        """Build the names that all layers use for this outcome."""
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
    """Identifiers of the tables about users; all three tables have the name ``name``."""

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
    population: UserTables  # tables of the users to decide about, if the experiment declares others

    @classmethod
    def of(cls, experiment: Experiment) -> Tables:
        """Build the names of the tables of ``experiment``."""
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
        """Tables of the experiment's users."""
        return UserTables(self.name, self.raw, self.features, self.scores)


VIEW = "VIEW"  # the name in DuckDB's information schema


LEDGER = ("decisions", "treat_list")


LEDGER_ROWS = (
    "decisions",
    "treat_list_here",
)  # the ledger's table, once the ledger is a view; see ledger_view.py


PROOF = "proof"  # tables of the evaluator's proof, which belong to no experiment
