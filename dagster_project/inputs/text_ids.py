"""Text ids and the numbers that they become: refuse a change that would make every user another one."""

from __future__ import annotations

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.row_numbers import is_decided_about
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.id_keys import number_sql
from dagster_project.warehouse.sql import Identifier
from uplift_core.errors import DataError, ExperimentError
from uplift_core.experiment.declaration import RAW_SQL

SAMPLE = 1_000  # users to look at; the hash is one for all
OTHERS = "then lists, holdout group and suppressions would go over to other users"


def refuse_changed_hash(db: Warehouse, experiment: BatchExperiment) -> None:
    """Compare the ids of before with the declared hash and the home's key, before the file is read.

    Raises:
        ExperimentError: ``id_hash`` changed since something was decided about the users.
        DataError: the home's key is another one.
    """
    declaration, raw = experiment.declaration, experiment.tables.raw
    columns = {str(row[0]) for row in db.rows(f"describe {raw}")} if db.kind(raw) else set()
    if declaration.id_column not in columns or not is_decided_about(db, experiment.name):
        return
    users, keyed, by_md5 = _hashed_by(db, experiment)
    way = declaration.id_hash
    if way == "md5" and users and keyed == users:
        raise ExperimentError(
            f"{experiment.name}: id_hash was 'keyed' when lists were made, and is 'md5' now; {OTHERS}. "
            "Put it back, with the raw.sql of then"
        )
    if way == "keyed" and keyed < users:
        if by_md5 == users:
            raise ExperimentError(
                f"{experiment.name}: id_hash was 'md5' when lists were made, now 'keyed'; {OTHERS}"
                ". Remove it, with the raw.sql of then; a new experiment may have it"
            )
        raise DataError(
            f"{experiment.name}: the file id_key of UPLIFT_HOME is not the one that lists were made "
            f"with; {OTHERS}. Restore it from a backup"
        )


def refuse_unhashed(db: Warehouse, experiment: BatchExperiment) -> None:
    """Refuse a ``raw.sql`` that does not hash ids as ``id_hash`` declares it.

    Raises:
        ExperimentError: names the SQL to write.
    """
    if experiment.declaration.id_hash == "md5":  # the SQL of teams may count in another way
        return
    users, keyed, _ = _hashed_by(db, experiment)
    if keyed < users:
        column = Identifier.of(experiment.declaration.id_column)
        raise ExperimentError(
            f"{experiment.name}: id_hash = 'keyed', and {RAW_SQL} yields another user_id; write "
            f"{number_sql(column, 'keyed')} as user_id"
        )


def _hashed_by(db: Warehouse, experiment: BatchExperiment) -> tuple[int, int, int]:
    """Count users of a sample, those whose number the home's key makes, and those whose md5 it is."""
    column = Identifier.of(experiment.declaration.id_column)
    keyed, md5 = number_sql(column, "keyed"), number_sql(column, "md5")
    users, by_key, by_md5 = db.one(
        f"select count(*), count(*) filter (user_id = {keyed}), count(*) filter (user_id = {md5}) "
        f"from (from {experiment.tables.raw} limit {SAMPLE})"
    )
    return int(users), int(by_key), int(by_md5)
