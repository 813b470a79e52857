"""Deliver a night's lists to the declared targets, each exactly once.

Beside a list's manifest, ``delivered-<name>.json`` says what was delivered; a delivery that has brought
the same list in the same form is not repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from dagster_project.decisions.nights import campaigns
from dagster_project.decisions.records import NIGHTS, THIS_LIST, ListKey
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export import list_path, manifest_digest, url_of_manifest
from dagster_project.delivery.stores import Store, open_store
from dagster_project.delivery.targets.delivered import RowsDelivery, rows_of
from dagster_project.delivery.targets.folder import deliver_to_folder
from dagster_project.delivery.targets.table import deliver_to_table
from dagster_project.delivery.targets.webhook import tell
from dagster_project.inputs.connections import VARIABLE, missing_driver, reason_without_secrets, uri_of
from dagster_project.warehouse.connection import Warehouse
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.experiment.deliveries import Delivery, TableDelivery, WebhookDelivery


@dataclass(frozen=True)
class Delivered:
    """What one delivery did with one list.

    Attributes:
        key: the list.
        delivery: the delivery's name.
        users: rows that were brought; None if they were there already.
    """

    key: ListKey
    delivery: str
    users: int | None

    def __str__(self) -> str:
        done = "was there already" if self.users is None else f"{self.users:,} rows"
        return f"{self.delivery}: {self.key.campaign} of {self.key.decision_date}: {done}"


@dataclass(frozen=True)
class Deliveries:
    """The deliveries of one experiment.

    Attributes:
        db: the warehouse.
        experiment: the experiment.
        exports: the store of exports; lists must have been exported.
        home: the home.
    """

    db: Warehouse
    experiment: BatchExperiment
    exports: Store
    home: Home

    def deliver(self, date: str) -> tuple[list[Delivered], list[str]]:
        """Deliver all lists of a date; one that fails stops no other.

        Returns:
            What was delivered, and a sentence about each delivery that failed.
        """
        done, failures = [], []
        for key, delivery in self._due(date):
            try:
                done.append(Delivered(key, delivery.name, self._bring(key, delivery)))
            except DataError as error:
                failures.append(str(error))
        return done, failures

    def _due(self, date: str) -> Iterator[tuple[ListKey, Delivery]]:
        for key in campaigns(self.db, self.experiment.name, date):
            for delivery in self.experiment.declaration.delivery:
                if not delivery.campaigns or key.campaign in delivery.campaigns:
                    yield key, delivery

    def _bring(self, key: ListKey, delivery: Delivery) -> int | None:
        """Deliver one list; errors name the delivery, and no password."""
        where = f"{self.experiment.name}: delivery '{delivery.name}'"
        uri = uri_of(f"{where}: connection", delivery.connection)
        manifest = manifest_digest(self.exports, key)
        digest = _digest(manifest, delivery)
        try:
            if isinstance(delivery, WebhookDelivery):
                users = self._tell(key, delivery, uri, digest, manifest)
            else:
                users = self._bring_rows(key, delivery, uri, digest)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        except ModuleNotFoundError as error:
            raise DataError(f"{where}: {missing_driver(error)}") from error
        except Exception as error:  # noqa: BLE001 - each driver and store has errors of its own
            raise DataError(
                f"{where}: connection '{delivery.connection}', campaign '{key.campaign}' of "
                f"{key.decision_date}: cannot be delivered: {reason_without_secrets(error, uri)}; "
                f"correct the target, or the URI in {VARIABLE}{delivery.connection.upper()}, and "
                "materialize delivered again"
            ) from None  # the cause may show the password
        self._record(key, delivery, digest, users)
        return users

    def _bring_rows(self, key: ListKey, delivery: RowsDelivery, uri: str, digest: str) -> int | None:
        rows = rows_of(self.db, self.experiment, key, delivery)
        if isinstance(delivery, TableDelivery):
            return deliver_to_table(self.db, rows, delivery, uri, digest)
        store = open_store(uri, self.home.scratch)
        return deliver_to_folder(self.db, rows, delivery, store, digest)

    def _tell(
        self, key: ListKey, delivery: WebhookDelivery, url: str, digest: str, manifest: str
    ) -> int | None:
        before = self.exports.read(_record_path(key, delivery))
        if before and json.loads(before)["digest"] == digest:
            return None
        arm, users, treated = self.db.one(
            f"select arm, users, treated from {NIGHTS} where {THIS_LIST}", asdict(key)
        )
        message = {
            **asdict(key),
            "arm": arm,
            "users": users,
            "treated": treated,
            "manifest": url_of_manifest(self.exports, key),
            "manifest_sha256": manifest,
        }
        tell(url, message, digest)
        return int(treated)

    def _record(self, key: ListKey, delivery: Delivery, digest: str, users: int | None) -> None:
        path = _record_path(key, delivery)
        if users is None and self.exports.read(path):
            return
        record = {
            "delivery": delivery.name,
            "digest": digest,
            "rows": users,
            "delivered_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self.exports.replace(path, json.dumps(record, indent=2).encode())


def _digest(manifest: str, delivery: Delivery) -> str:
    """Digest what is delivered: the list, by its manifest, and the declared form."""
    return hashlib.sha256(f"{manifest} {delivery.model_dump_json()}".encode()).hexdigest()


def _record_path(key: ListKey, delivery: Delivery) -> str:
    return f"{list_path(key)}/delivered-{delivery.name}.json"
