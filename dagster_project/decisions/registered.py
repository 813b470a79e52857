"""Read the register of consent into the warehouse, so that a night's list obeys it."""

from __future__ import annotations

from datetime import UTC, date

import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.register import ALL, Entry, Register, longest, scopes_of

REGISTERED = Identifier.of("decisions", "registered")
SCHEMA = pa.schema(
    [
        ("experiment", pa.string()),
        ("user_id", pa.int64()),
        ("reason", pa.string()),
        ("until", pa.date32()),
        ("entry", pa.int64()),
        ("for_all", pa.bool_()),
        ("made_by", pa.string()),
        ("made_at", pa.timestamp("us")),
    ]
)


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
    day = date.fromisoformat(decision_date)
    entries = Register(home.register).keeping_out(scopes_of(experiment.declaration), day)
    table = pa.Table.from_pylist(
        [_row(entry, experiment.name) for entry in longest(entries).values()], SCHEMA
    )
    name = {"experiment": experiment.name}
    db.rows(f"delete from {REGISTERED} where experiment = $experiment", name)
    with db.relation("incoming_rows", table):
        ((rows,),) = db.rows(
            f"insert into {REGISTERED} by name from incoming_rows "
            f"semi join {experiment.target_users.scores} using (user_id)"
        )
    return int(rows)


def _row(entry: Entry, experiment: str) -> dict[str, object]:
    return {
        "experiment": experiment,
        "user_id": entry.user_id,
        "reason": entry.reason,
        "until": entry.until,
        "entry": entry.entry,
        "for_all": entry.experiment == ALL,
        "made_by": entry.made_by,
        "made_at": entry.made_at.astimezone(UTC).replace(tzinfo=None),
    }
