"""An experiment in the batch: its declaration, its folder, and the names of its tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dagster_project.declared.feature_sql import FeatureSql, read_feature_sql
from dagster_project.warehouse.table_names import OutcomeNames, Tables, UserTables
from uplift_core.experiment.declaration import Experiment

ESTIMATED = (
    "the arms' shares are estimated from the counts; that the arms differ by chance alone is not "
    "guaranteed by design"
)

COUNTED = (
    "the arms' shares of each stratum are counted, not designed; that the arms of a stratum differ by "
    "chance alone is not guaranteed by design"
)


@dataclass(frozen=True)
class BatchExperiment:
    """The description of one experiment that every step of the batch takes.

    Attributes:
        declaration: the checked content of ``experiment.toml``.
        path: the folder that holds ``experiment.toml``.
        features_sql: the checked SQL that makes the features.
        tables: names of the experiment's tables in the warehouse.
    """

    declaration: Experiment
    path: Path
    features_sql: FeatureSql
    tables: Tables

    @classmethod
    def read(cls, declaration: Experiment, path: Path) -> BatchExperiment:
        """Check the experiment's feature file and name its tables."""
        sql = read_feature_sql(declaration, path)
        return cls(declaration, path, sql, Tables.of(declaration))

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.declaration.name

    @property
    def target_users(self) -> UserTables:
        """Tables of the users to decide about: those of the declared population or the experiment."""
        return self.tables.population if self.declaration.population else self.tables.users

    @property
    def outcomes(self) -> list[OutcomeNames]:
        """Identifiers of every outcome."""
        return [OutcomeNames.of(outcome) for outcome in self.declaration.outcomes]

    def outcome(self, name: str) -> OutcomeNames:
        """Return the identifiers of one outcome."""
        return OutcomeNames.of(self.declaration.outcome(name))
