"""Chances of the treatment that differ between users: strata, a column of chances, and signs of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scipy.special import chdtrc

from dagster_project.inputs.propensities import text_of
from dagster_project.onboarding.guesses import Guess, Options
from dagster_project.onboarding.profile import FILE, Column
from dagster_project.onboarding.shares import COUNTED, Shares, find_shares
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, literal
from uplift_core.errors import ExperimentError

MOST_LEVELS = 20  # of a column that is named as a stratum
CERTAIN = 1e-6  # p-value below which shares differ by a column
SHOWN = 4  # values in a message
ARMS = 2

Counts = Mapping[tuple[str, ...], Mapping[str, int]]  # users by stratum and arm


@dataclass(frozen=True)
class Chances:
    """How chances differ between users; false if they do not.

    Attributes:
        strata: columns of the strata.
        by_stratum: the designed shares of each stratum, as texts by arm; empty if they are counted.
        column: the column of chances.
        shares: the arms' shares over all users, which follow; None if chances do not differ.
    """

    strata: tuple[str, ...] = ()
    by_stratum: Mapping[tuple[str, ...], Mapping[str, str]] = field(default_factory=dict)
    column: str = ""
    shares: Shares | None = None

    def __bool__(self) -> bool:
        return bool(self.strata or self.column)

    def sql(self, guesses: Guess) -> str:
        """Return the SQL of a user's chance in the file's table: counted ones, of strata."""
        if self.column:
            return f"{Identifier.of(self.column)}::double"
        if not self.strata:
            return "null"
        arm, control = Identifier.of(guesses.arm.name), literal(guesses.control)
        return f"avg(({arm}::varchar <> {control})::double) over (partition by {_listed(self.strata)})"


EQUAL = Chances()  # one share for all users


def find_chances(db: Warehouse, guesses: Guess, options: Options) -> Chances:
    """Find the shares of each stratum, or the mean of the chances.

    Raises:
        ExperimentError: the columns cannot say chances, there are several treatments, or no usual design
            agrees with a stratum's counts.
    """
    names = (*options.strata, *filter(None, [options.propensity]))
    if not names:
        return EQUAL
    if options.strata and options.propensity:
        raise ExperimentError("--strata and --propensity both say the chances; pass one of them")
    if len(guesses.arm.values) != ARMS:
        raise ExperimentError(
            f"--strata and --propensity work for one treatment; '{guesses.arm.name}' has the arms "
            f"{', '.join(guesses.arm.values)}. Leave out the users of all treatments but one"
        )
    (treated,) = (value for value in guesses.arm.values if value != guesses.control)
    for name in names:
        _refuse_other_role(guesses, name)
    if options.propensity:
        mean = _mean_chance(db, options.propensity)
        why = f"the mean of '{options.propensity}'"
        return Chances(column=options.propensity, shares=_overall(guesses, treated, mean, why))
    return _of_strata(db, guesses, options, treated)


def shares_differ_by(db: Warehouse, guesses: Guess) -> str:
    """Say by which column of few values the arms' shares differ most, and what to pass; else nothing."""
    candidates: list[tuple[float, Column, Counts]] = []
    for column in guesses.features:
        if 1 < column.distinct <= MOST_LEVELS and not column.missing:
            counts = _counts(db, guesses, [column.name])
            p = _p_value(counts, guesses.arm.values)
            if p < CERTAIN:
                candidates.append((p, column, counts))
    if not candidates or len(guesses.arm.values) != ARMS:
        return ""
    _, column, counts = min(candidates, key=lambda item: item[0])
    (treated,) = (value for value in guesses.arm.values if value != guesses.control)
    shares = [f"{key[0]} {n.get(treated, 0) / sum(n.values()):.2f}" for key, n in counts.items()]
    more = ", ..." if len(shares) > SHOWN else ""
    return (
        f"the share of '{treated}' differs by '{column.name}' ({', '.join(shares[:SHOWN])}{more}): if "
        f"users were assigned within it, pass --strata {shlex.quote(column.name)}"
    )


def _of_strata(db: Warehouse, guesses: Guess, options: Options, treated: str) -> Chances:
    counts = _counts(db, guesses, options.strata)
    total = sum(sum(users.values()) for users in counts.values())
    by_stratum: dict[tuple[str, ...], Mapping[str, str]] = {}
    mean = 0.0
    for key, users in counts.items():
        n = sum(users.values())
        if len(users) != ARMS:
            raise ExperimentError(
                f"--strata: all {n} users of the stratum {list(key)} are in one arm; drop them, or name "
                "coarser strata"
            )
        if options.shares == COUNTED:
            mean += users[treated] / total
            continue
        shares = find_shares(users)
        if not shares.designed:
            raise ExperimentError(
                f"--strata: stratum {list(key)}: {shares.why}. If users left the data after the "
                "assignment, find them first. If there was no plan, pass --shares counted"
            )
        by_stratum[key] = shares.written
        mean += n / total * _number(shares.written[treated])
    kind = "counted in" if options.shares == COUNTED else "designs of"
    why = f"follow from the {kind} {len(counts)} strata"
    overall = _overall(guesses, treated, mean, why)
    return Chances(options.strata, by_stratum, shares=overall)


def _overall(guesses: Guess, treated: str, mean: float, why: str) -> Shares:
    share = round(mean, 6)
    written = {treated: f"{share:g}", guesses.control: f"{round(1 - share, 6):g}"}
    return Shares(written, designed=True, why=why)


def _number(written: str) -> float:
    above, _, below = written.strip('"').partition("/")
    return float(above) / float(below or 1)


def _refuse_other_role(guesses: Guess, name: str) -> None:
    column = next((column for column in guesses.features if column.name == name), None)
    if column is None:
        raise ExperimentError(
            f"'{name}' is the id, the arm, an outcome, the cluster or ignored, which says no chance of "
            "the treatment; name another column in --strata or --propensity"
        )
    if column.missing:
        raise ExperimentError(
            f"column '{name}' has no value in {column.missing:,} rows; give each user the stratum, or "
            "the chance, with which they were assigned"
        )


def _mean_chance(db: Warehouse, name: str) -> float:
    chance = f"try_cast({Identifier.of(name)} as double)"
    wrong, mean = db.one(
        f"select count(*) filter (not coalesce({chance} > 0 and {chance} < 1, false)), avg({chance}) "
        f"from {FILE}"
    )
    if wrong:
        raise ExperimentError(
            f"--propensity '{name}' holds no chance above 0 and below 1 in {wrong:,} rows; give each "
            "user the chance with which they were assigned, and leave out users who could get one arm "
            "only"
        )
    return float(mean)


def _counts(db: Warehouse, guesses: Guess, names: Sequence[str]) -> Counts:
    """Count users, or whole clusters where these were assigned, by stratum and arm."""
    n = f"count(distinct {Identifier.of(guesses.cluster.name)})" if guesses.cluster else "count(*)"
    rows = db.rows(
        f"select [{_listed(names)}], {Identifier.of(guesses.arm.name)}::varchar, {n} from {FILE} "
        "group by 1, 2 order by 1, 2"
    )
    counts: dict[tuple[str, ...], dict[str, int]] = {}
    for key, arm, users in rows:
        counts.setdefault(tuple(key), {})[arm] = users
    return counts


def _listed(names: Sequence[str]) -> str:
    return ", ".join(text_of(name) for name in names)


def _p_value(counts: Counts, arms: Sequence[str]) -> float:
    """Return the p-value of Pearson's chi-square test that all strata have the same shares."""
    rows = [[users.get(arm, 0) for arm in arms] for users in counts.values()]
    total = sum(map(sum, rows))
    by_arm = [sum(column) for column in zip(*rows, strict=True)]
    chi_square = sum(
        (n - sum(row) * of_arm / total) ** 2 / (sum(row) * of_arm / total)
        for row in rows
        for n, of_arm in zip(row, by_arm, strict=True)
    )
    return float(chdtrc((len(rows) - 1) * (len(arms) - 1), chi_square))
