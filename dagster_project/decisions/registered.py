"""Read the register of consent into the warehouse, so that a night's list obeys it."""

from __future__ import annotations

import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.register import COLUMNS, Register, scopes_of

REGISTERED = Identifier.of("decisions", "registered")
INCOMING = Identifier.of("incoming_entries")
# The register's columns, with the texts that it keeps for days and times.
TYPES = {"entry": pa.int64(), "user_id": pa.int64()}
SCHEMA = pa.schema([(name, TYPES.get(name, pa.string())) for name in COLUMNS.split(", ")])


def read_register(db: Warehouse, home: Home, experiment: BatchExperiment, decision_date: str) -> int:
    """Replace the experiment's rows of ``decisions.registered`` by the register's present state.

    It is today's state, also for the list of an earlier date: who has said no since is not treated by a
    list that is made now.

    Args:
        db: the warehouse, in the transaction that writes the list.
        home: the home, which has the register.
        experiment: the experiment; entries for all experiments count unless its ids are row numbers.
        decision_date: YYYY-MM-DD; suppressions that ended before do not count.

    Returns:
        The number of users who are kept out; users who are not decided about are not counted.

    Raises:
        RegisterError: the register cannot be read.
    """
    entries = Register(home.register).everything(scopes_of(experiment.declaration))
    columns = list(zip(*entries, strict=True)) if entries else [()] * len(SCHEMA)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    scores = experiment.target_users.scores
    sql = render("decisions/registered.sql", entries=INCOMING, scores=scores)
    name = {"experiment": experiment.name}
    db.rows(f"delete from {REGISTERED} where experiment = $experiment", name)
    with db.relation("incoming_entries", pa.table(arrays, schema=SCHEMA)):
        binds = name | {"decision_date": decision_date}
        ((rows,),) = db.rows(f"insert into {REGISTERED} by name {sql}", binds)
    return int(rows)
