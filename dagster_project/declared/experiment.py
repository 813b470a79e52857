"""An experiment as the batch sees it: the declaration, its folder, and the names of its tables."""

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


@dataclass(frozen=True)
class ExperimentFolder:
    """An experiment, the folder that declares it, and the names of its tables."""

    experiment: Experiment
    folder: Path
    features_sql: FeatureSql
    tables: Tables

    @classmethod
    def read(cls, experiment: Experiment, folder: Path) -> ExperimentFolder:
        """Check the experiment's feature file and name its tables."""
        sql = read_feature_sql(experiment, folder)
        return cls(experiment, folder, sql, Tables.of(experiment))

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment.name

    @property
    def listed(self) -> UserTables:
        """Tables of the users to decide about: the declared population, or else the experiment's."""
        return self.tables.population if self.experiment.population else self.tables.users

    @property
    def outcomes(self) -> list[OutcomeNames]:
        """Identifiers of every outcome."""
        return [OutcomeNames.of(outcome) for outcome in self.experiment.outcomes]

    def outcome(self, name: str) -> OutcomeNames:
        """Identifiers of one outcome."""
        return OutcomeNames.of(self.experiment.outcome(name))
