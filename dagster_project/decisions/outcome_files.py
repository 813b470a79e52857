"""Read a file of outcomes, and translate its ids of users to the numbers of lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.reading import (
    READERS,
    TEXT,
    read_with_ids,
    refuse_changed,
    refuse_floats,
    whole_number,
)
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.errors import DataError

FILE = Identifier.of("realised_file")


def id_columns(experiment: BatchExperiment) -> list[str]:
    """List the columns that may identify a file's users, the declared id first."""
    population = experiment.declaration.population
    names = [experiment.declaration.id_column, population.user_id if population else "", "user_id"]
    return list(dict.fromkeys(name for name in names if name))


def number_users(  # noqa: PLR0913 - the file, and what is needed of it
    db: Warehouse,
    experiment: BatchExperiment,
    file: Path,
    kept: Sequence[str],
    owner: str,
    *,
    leave_out: bool = False,
) -> int:
    """Translate the file's ids in ``FILE`` to user numbers, unless the file has the numbers.

    Args:
        db: the warehouse.
        experiment: the experiment.
        file: the file that was read.
        kept: columns besides the users that are needed later.
        owner: column of the users.
        leave_out: true if rows of unknown users are left out; else they are refused.

    Returns:
        The number of rows that were left out.

    Raises:
        DataError: ids are not as the experiment's file writes them, or unknown.
    """
    refuse_floats(db, FILE, owner, file.name, "write whole numbers or texts")
    id_column, raw = experiment.declaration.id_column, experiment.target_users.raw
    numbers = not id_column or (owner == "user_id" and _holds_numbers(db, raw, id_column))
    if numbers or _types(db, raw)[id_column] != TEXT:
        _trim(db, owner)
    if numbers:
        refuse_changed(db, FILE, owner, file.name, "write user_id as the list has it")
        return _leave_out_numbers(db, raw, owner) if leave_out else 0
    names = "".join(f", file.{Identifier.of(name)}" for name in kept)
    db.create_temporary(
        FILE,
        f"select ids.user_id, file.{Identifier.of(owner)} as _id_in_file{names} from {FILE} as file "
        f"left join {raw} as ids on file.{Identifier.of(owner)}::varchar = "
        f"ids.{Identifier.of(id_column)}::varchar",
    )
    unknown, first = db.one(f"select count(*), min(_id_in_file) from {FILE} where user_id is null")
    if unknown and leave_out:
        db.rows(f"delete from {FILE} where user_id is null")
    elif unknown:
        raise DataError(
            f"{file.name}: '{owner}' = {first!r} and {unknown - 1} more are not users "
            f"of {experiment.target_users.name}; remove them, or write the ids as "
            "the experiment's file does"
        )
    return int(unknown)


def _leave_out_numbers(db: Warehouse, raw: Identifier, owner: str) -> int:
    """Delete rows whose numbers are of no user; call the column ``user_id``."""
    before = db.count(FILE)
    names = f"{Identifier.of(owner)}::bigint as user_id, * exclude ({Identifier.of(owner)})"
    numbered = f"(select {names} from {FILE}) as numbered"
    db.create_temporary(FILE, f"select numbered.* from {numbered} semi join {raw} using (user_id)")
    return before - db.count(FILE)


def _holds_numbers(db: Warehouse, raw: Identifier, id_column: str) -> bool:
    """Return true if the file's user_id holds the list's user numbers, not the declared ids.

    Both can look alike; the one that matches more rows decides.
    """
    known_numbers, known_ids, whole = db.one(
        f"select count(numbers.user_id), count(ids.user_id), "
        f"bool_and({whole_number('trim(file.user_id::varchar)')}) from {FILE} as file "
        f"left join {raw} as numbers on try_cast(file.user_id as bigint) = numbers.user_id "
        f"left join {raw} as ids on file.user_id::varchar = ids.{Identifier.of(id_column)}::varchar"
    )
    return bool(whole and known_numbers >= known_ids)


def read_file(db: Warehouse, file: Path, ids: list[str]) -> dict[str, str]:
    """Read the file into a temporary table; return its columns with their types.

    Raises:
        DataError: there is no such file.
    """
    if file.suffix not in READERS or not file.is_file():
        raise DataError(f"{file}: needs to be a CSV or Parquet file that exists")
    read = read_with_ids(db, file, ids)
    db.create_temporary(FILE, f"from {read}", {"source": str(file)})
    return _types(db, FILE)


def _types(db: Warehouse, table: Identifier) -> dict[str, str]:
    return {str(row[0]): str(row[1]) for row in db.rows(f"describe {table}")}


def _trim(db: Warehouse, column: str) -> None:
    """Remove spaces around numbers, as people write one after a comma; a text id is not trimmed."""
    if _types(db, FILE)[column] == TEXT:
        name = Identifier.of(column)
        db.rows(f"update {FILE} set {name} = trim({name})")
