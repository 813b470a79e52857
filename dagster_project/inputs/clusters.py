"""The declared cluster of each user: users with the same value were assigned together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.errors import DataError


def cluster_column(experiment: BatchExperiment) -> Identifier | None:
    """Return the raw column of the clusters; None if the experiment declares none."""
    column = experiment.declaration.cluster
    return Identifier.of(column) if column else None


def refuse_missing_clusters(db: Warehouse, experiment: BatchExperiment, raw: Identifier) -> None:
    """Refuse users of the table ``raw`` without a cluster, if the experiment declares clusters.

    Raises:
        DataError: names the table, the column, the number of rows, the first user and the remedy.
    """
    column = cluster_column(experiment)
    if column is None:
        return
    missing, first = db.one(
        f"select count(*), min(user_id) from {raw} where coalesce(trim({column}::varchar), '') = ''"
    )
    if missing:
        raise DataError(
            f"{experiment.name}: cluster = '{experiment.declaration.cluster}' is missing in {missing} "
            f"rows of {raw.sql.replace(chr(34), '')}, the first of them user_id {first}; give each "
            "user a value. One who was assigned alone takes a value that no other user has, as the id"
        )


def drawn_by(db: Warehouse, experiment: BatchExperiment, users: Sequence[int]) -> dict[int, str]:
    """Map users to what their draws hash: the cluster where one is declared and known, else the id."""
    drawn = {user: str(user) for user in users}
    column = cluster_column(experiment)
    for table in (experiment.tables.raw, experiment.tables.population.raw) if column else ():
        if db.kind(table):
            known = f"select user_id, {column}::varchar from {table} where user_id = any($users)"
            drawn |= {int(user): str(value) for user, value in db.rows(known, {"users": list(users)})}
    return drawn


@dataclass(frozen=True)
class AssignedUnits:
    """The units that the design assigned to arms: clusters if each lies in one arm, else users.

    Attributes:
        word: ``clusters`` or ``users``.
        by_arm: number of units by arm; arms without any are missing.
    """

    word: str
    by_arm: Mapping[str, int]

    @property
    def whole_clusters(self) -> bool:
        """Whether whole clusters were assigned."""
        return self.word == "clusters"


def assigned_units(db: Warehouse, experiment: BatchExperiment) -> AssignedUnits:
    """Count the units of each arm, from ``assignment.<experiment>``."""
    table = experiment.tables.assignment
    if experiment.declaration.cluster:
        rows = db.rows(
            "select first_arm, count(*), bool_and(first_arm = last_arm) from ("
            f"select min(arm) as first_arm, max(arm) as last_arm from {table} group by cluster"
            ") group by first_arm"
        )
        if all(whole for *_, whole in rows):
            return AssignedUnits("clusters", {str(arm): int(n) for arm, n, _ in rows})
    counts = db.rows(f"select arm, count(*) from {table} group by arm")
    return AssignedUnits("users", {str(arm): int(n) for arm, n in counts})
