"""Each user's chance of the treatment, where it differs between users: from a column, or by stratum."""

from __future__ import annotations

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, literal
from uplift_core.errors import DataError
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.strata import WHOLE

# Cells hold users of one chance, so that figures are exact; with more values, cells hold few users.
MOST_VALUES = 1_000_000
TOLERANCE = 0.01  # between the arm's declared share and the mean chance


def propensity_columns(experiment: BatchExperiment) -> dict[str, object]:
    """Return what ``sql/training/assignment.sql`` needs to know of the chances."""
    declaration = experiment.declaration
    column = declaration.propensity_column
    return {
        "propensity_column": Identifier.of(column) if column else None,
        "strata": Identifier.listed(declaration.strata) if declaration.strata else None,
        "stratum_key": Identifier(_texts(declaration)),
        "counted": declaration.strata_shares == "counted",
    }


def _texts(declaration: Experiment) -> str:
    """Return the columns of the strata as texts, as ``Stratum.texts`` writes them, joined by commas."""
    return ", ".join(text_of(name) for name in declaration.strata)


def text_of(column: str) -> str:
    """Return the SQL of a stratum's value as text; of a whole number without decimals."""
    return f"regexp_replace({Identifier.of(column)}::varchar, {literal(WHOLE.pattern)}, '\\1')"


def propensity_binds(experiment: BatchExperiment) -> dict[str, object]:
    """Return the values that ``sql/training/assignment.sql`` binds for the chances."""
    declaration = experiment.declaration
    if not declaration.strata:
        return {}
    (treated,) = declaration.treatments
    if declaration.strata_shares == "counted":
        return {"treated_value": str(declaration.arm(treated).value)}
    return {
        "stratum_values": [list(stratum.texts) for stratum in declaration.stratum],
        "stratum_propensities": [stratum.shares[treated] for stratum in declaration.stratum],
    }


def refuse_unknown_propensities(db: Warehouse, experiment: BatchExperiment) -> None:
    """Refuse users without a chance of the treatment between 0 and 1, if users' chances differ.

    Raises:
        DataError: names the columns, the values, the number of rows, the first user and the remedy.
    """
    declaration = experiment.declaration
    if not declaration.propensity_varies:
        return
    if declaration.propensity_column:
        _refuse_values(db, experiment)
    else:
        _refuse_strata(db, experiment)


def refuse_unfit_propensities(db: Warehouse, experiment: BatchExperiment) -> None:
    """Refuse too many different chances in ``assignment.<experiment>``, or other ones than the shares.

    Raises:
        DataError: names the key, the number and the remedy.
    """
    declaration = experiment.declaration
    if not declaration.propensity_varies:
        return
    values, mean = db.one(
        f"select count(distinct propensity), avg(propensity) from {experiment.tables.assignment}"
    )
    if values > MOST_VALUES:
        raise DataError(
            f"{experiment.name}: propensity_column = '{declaration.propensity_column}' has {values:,} "
            f"different values; users of equal chance are counted together, and at most {MOST_VALUES:,} "
            "values are worked on. They are not rounded here, because that would bias the effect; draw "
            "users by chances of fewer digits"
        )
    _refuse_other_shares(declaration, mean)


def _refuse_values(db: Warehouse, experiment: BatchExperiment) -> None:
    column = experiment.declaration.propensity_column
    chance = f"try_cast({Identifier.of(column)} as double)"
    wrong, first, value = db.one(
        f"select count(*), min(user_id), arg_min({Identifier.of(column)}::varchar, user_id) "
        f"from {experiment.tables.raw} where not coalesce({chance} > 0 and {chance} < 1, false)"
    )
    if wrong:
        shown = "nothing" if value is None else f"'{value}'"
        raise DataError(
            f"{experiment.name}: propensity_column = '{column}' holds no chance above 0 and below 1 in "
            f"{wrong} rows, the first of them user_id {first} with {shown}; give each user the chance "
            "with which they were assigned to the treatment, and leave out users who could get one arm "
            "only"
        )


def _refuse_strata(db: Warehouse, experiment: BatchExperiment) -> None:
    declaration, raw = experiment.declaration, experiment.tables.raw
    columns = [Identifier.of(name) for name in declaration.strata]
    missing = " or ".join(f"coalesce(trim({column}::varchar), '') = ''" for column in columns)
    users, first = db.one(f"select count(*), min(user_id) from {raw} where {missing}")
    if users:
        raise DataError(
            f"{experiment.name}: strata = {list(declaration.strata)} are missing in {users} rows, the "
            f"first of them user_id {first}; give each user the stratum in which they were assigned"
        )
    (treated,) = declaration.treatments
    value = str(declaration.arm(treated).value)
    rows = db.rows(
        f"select [{_texts(declaration)}] as stratum, count(*), min(user_id), "
        "count_if(arm = $treated) from ("
        f"select *, {Identifier.of(declaration.arm_column)}::varchar as arm from {raw}) "
        "group by all order by all",
        {"treated": value},
    )
    declared = {stratum.texts for stratum in declaration.stratum}
    for stratum, n, first, n_treated in rows:
        if declaration.strata_shares == "declared" and tuple(stratum) not in declared:
            raise DataError(
                f"{experiment.name}: {n} users, the first of them user_id {first}, are in the stratum "
                f"{stratum} of {list(declaration.strata)}, which no [[stratum]] declares; add its shares"
            )
        if not 0 < n_treated < n:
            raise DataError(
                f"{experiment.name}: all {n} users of the stratum {stratum} of "
                f"{list(declaration.strata)} are in one arm, so it tells no effect; leave them out in "
                "raw.sql, or declare coarser strata"
            )


def _refuse_other_shares(declaration: Experiment, mean: float) -> None:
    (treated,) = declaration.treatments
    share = declaration.arm(treated).share
    if abs(mean - share) > TOLERANCE:
        raise DataError(
            f"{declaration.name}: arms '{treated}': share = {share:g} does not fit the users' chances, "
            f"whose mean is {mean:.4f}; set share = {mean:.4f}, and that of the control to "
            f"{1 - mean:.4f}"
        )
