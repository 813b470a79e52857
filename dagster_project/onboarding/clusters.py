"""Find the unit that was assigned as a whole, such as a household, among the columns of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dagster_project.onboarding.guesses import Guess, Options
from dagster_project.onboarding.profile import FILE, MAX_LEVELS, Column
from dagster_project.onboarding.vocabulary import ID, UNITS
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.errors import ExperimentError
from uplift_core.experiment.naming import split_name

FEW_GROUPS = 20  # so many groups of users are not in one arm each by chance
NONE = "none"  # what --cluster says if each user was assigned alone


@dataclass(frozen=True)
class Groups:
    """Users with equal values of a column.

    Attributes:
        groups: number of values that several users have.
        users: number of these users.
        mixed: number of these values whose users are in several arms.
        changes: how often the arm changes from one of these values to the next.
    """

    groups: int
    users: int
    mixed: int
    changes: int

    @property
    def were_assigned(self) -> bool:
        """Whether these groups were assigned to arms as a whole.

        Drawn arms change from one value to the next; a value that decides the arm changes it once.
        """
        return self.groups >= FEW_GROUPS and not self.mixed and self.changes > self.groups / 10

    @property
    def words(self) -> str:
        """The groups' number and size."""
        return f"{self.groups:,} groups of {self.users / max(self.groups, 1):.1f} users"


def with_cluster(db: Warehouse, guesses: Guess, options: Options) -> Guess:
    """Return the guesses with the column of the clusters, which then is no feature.

    Of several columns whose groups were assigned as a whole, the one with the fewest groups is the
    cluster: stores, say, and not the households within them.

    Raises:
        ExperimentError: the named column has another role, or the cluster of a user is missing.
    """
    if options.cluster == NONE:
        return guesses
    if options.cluster:
        column, why = _named(guesses, options.cluster), "as you said"
        groups = _groups(db, guesses.arm, column)
        if groups.mixed:
            why += f"; {groups.mixed:,} of {groups.words} are in several arms"
    else:
        candidates = [
            (c, groups)
            for c in guesses.features
            if _countable(c) and (groups := _groups(db, guesses.arm, c)).were_assigned
        ]
        if not candidates:
            return guesses
        column, groups = min(candidates, key=lambda pair: pair[0].distinct)
        why = (
            f"users with the same value are always in the same arm ({groups.words}): they were assigned "
            f"together. Pass --cluster {NONE} if each user was assigned alone"
        )
    if column.missing:
        raise ExperimentError(
            f"column '{column.name}': it is the cluster ({groups.words} were assigned as a whole), and "
            f"{column.missing:,} users have no value; give each of them a value of their own, such as "
            f"the id, or pass --cluster {NONE} if each user was assigned alone"
        )
    features = tuple(feature for feature in guesses.features if feature is not column)
    reasons = (*guesses.reasons, ("cluster", column.name, why))
    return replace(guesses, cluster=column, features=features, reasons=reasons)


def units_by_arm(db: Warehouse, guesses: Guess) -> dict[str, int]:
    """Count what was assigned by arm: clusters if each lies in one arm, else users."""
    if guesses.cluster is None or _groups(db, guesses.arm, guesses.cluster).mixed:
        return dict(guesses.arm.levels)
    label, cluster = Identifier.of(guesses.arm.name), Identifier.of(guesses.cluster.name)
    counts: Mapping[str, int] = dict(
        db.rows(f"select {label}::varchar, count(distinct {cluster}) from {FILE} group by 1")
    )
    return {value: counts[value] for value in guesses.arm.values}


def _named(guesses: Guess, name: str) -> Column:
    for column in guesses.features:
        if column.name == name:
            return column
    raise ExperimentError(
        f"--cluster '{name}' is the id, the arm, an outcome or ignored already; name the column of the "
        "unit that was assigned as a whole"
    )


def _countable(column: Column) -> bool:
    """Return whether a column may name groups; one of few values only if it is called like it."""
    words = split_name(column.name)
    called_so = bool(UNITS.intersection(words)) or bool(ID.intersection(words[-1:]))
    countable = column.type == "VARCHAR" or (column.is_number and column.whole)
    return countable and (FEW_GROUPS if called_so else MAX_LEVELS) < column.distinct < column.rows


def _groups(db: Warehouse, arm: Column, column: Column) -> Groups:
    name, label = Identifier.of(column.name), Identifier.of(arm.name)
    row = db.one(
        "select count(*), coalesce(sum(users), 0), count(*) filter (arms > 1), "
        "count(*) filter (arm <> before) "
        "from (select *, lag(arm) over (order by value) as before from (select "
        f"{name} as value, count(*) as users, count(distinct {label}) as arms, "
        f"any_value({label}) as arm from {FILE} where {name} is not null group by value)) "
        "where users > 1"
    )
    return Groups(*map(int, row))
