"""What a delivery brings: the rows of one list, in the tool's columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from dagster_project.decisions.records import NIGHTS, THIS_LIST, ListKey
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export import select_users
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.errors import DataError
from uplift_core.experiment.deliveries import TABLE_KEY, FolderDelivery, TableDelivery

RowsDelivery = TableDelivery | FolderDelivery
SHEETS = {"all": "decisions"}  # form -> sheet of the export, where they differ
BRAZE = "braze"


@dataclass(frozen=True)
class DeliveredRows:
    """The rows of one list in a tool's columns.

    Attributes:
        key: the list.
        select: the query of the rows.
        binds: its parameters.
        ids: the column with the users' id, if it is delivered.
    """

    key: ListKey
    select: str
    binds: Mapping[str, object]
    ids: str = ""


@dataclass(frozen=True)
class _Users:
    """The users of one list with all that may be delivered of them: column -> its SQL."""

    items: Mapping[str, str]
    source: str
    binds: Mapping[str, object]
    id: str

    def select(self, columns: Mapping[str, str]) -> str:
        """Return the query of some columns, column -> name, the users in the list's order."""
        chosen = ", ".join(f"{self.items[c]} as {Identifier.of(name)}" for c, name in columns.items())
        order = "listed.rank nulls last, listed.user_id" if "rank" in self.items else "listed.user_id"
        return f"select {chosen} from {self.source} order by {order}"


def rows_of(
    db: Warehouse, experiment: BatchExperiment, key: ListKey, delivery: RowsDelivery
) -> DeliveredRows:
    """Return the rows that a delivery brings of a list.

    Raises:
        DataError: a declared column does not exist: names the column and the remedy.
    """
    users = _users_of(db, experiment, key, delivery)
    everything = {column: column for column in users.items}
    delivered = Identifier(f"({users.select(everything)}) as delivered")
    of_table = isinstance(delivery, TableDelivery)
    if delivery.preset == BRAZE:
        treatment, binds = _treatment(db, key, users)
        if of_table:
            binds["updated_at"] = datetime.now(UTC).replace(tzinfo=None)
        select = render(
            "decisions/braze_rows.sql",
            id=Identifier.of(users.id),
            treatment=treatment,
            delivered=delivered,
            of_table=of_table,
        )
        binds["attribute"] = f"uplift_{key.campaign}"
        return DeliveredRows(key, select, {**users.binds, **binds}, "EXTERNAL_ID")
    if isinstance(delivery, FolderDelivery) and delivery.email:
        email = Identifier.of(delivery.email)
        select = render("decisions/customer_match.sql", email=email, delivered=delivered)
        return DeliveredRows(key, select, users.binds)
    if unknown := [column for column in delivery.columns if column not in users.items]:
        raise DataError(
            f"columns names '{unknown[0]}', which form = '{delivery.form}' does not have; choose among "
            f"{list(users.items)}, or add it"
        )
    columns = dict(delivery.columns) or everything
    if of_table:
        columns |= {name: name for name in TABLE_KEY if name not in columns}
    return DeliveredRows(key, users.select(columns), users.binds, columns.get(users.id, ""))


def _users_of(
    db: Warehouse, experiment: BatchExperiment, key: ListKey, delivery: RowsDelivery
) -> _Users:
    select, binds = select_users(db, key, SHEETS.get(delivery.form, delivery.form))
    listed = [str(row[0]) for row in db.rows(f"describe {select}", binds)]
    id_column = experiment.declaration.id_column
    items = {id_column: f"users.{Identifier.of(id_column)}"} if id_column else {}
    for column in listed:
        if column == "user_id" and id_column:
            continue  # a tool knows users by the id of the file
        clashes = column.lower() == id_column.lower()  # SQL names ignore case
        items[f"list_{column}" if clashes else column] = f"listed.{Identifier.of(column)}"
    raw = experiment.target_users.raw
    known = [str(row[0]) for row in db.rows(f"describe {raw}")]
    email = delivery.email if isinstance(delivery, FolderDelivery) else ""
    for column in filter(None, (*delivery.add, email)):
        if column not in known:
            raise DataError(f"'{column}' is no column of {raw}; choose among {sorted(known)}")
        items.setdefault(column, f"users.{Identifier.of(column)}")
    # A sheet may leave out what all its rows have in common.
    of_list = {name: f"${name}" for name in TABLE_KEY} | {"decision_date": "$decision_date::date"}
    items = {**items, **{name: sql for name, sql in of_list.items() if name not in items}}
    source = f"({select}) as listed left join {raw} as users using (user_id)"
    return _Users(items, source, binds, id_column or "user_id")


def _treatment(db: Warehouse, key: ListKey, users: _Users) -> tuple[Identifier, dict[str, object]]:
    """Return the SQL of each user's treatment, null for those who left, and what it binds."""
    if "arm" in users.items:
        return Identifier.of("arm"), {}
    (arm,) = db.one(f"select arm from {NIGHTS} where {THIS_LIST}", asdict(key))
    return Identifier("case when change = 'enter' then $arm end"), {"arm": arm}
