"""The connection to Dask: a local cluster of processes, or a scheduler by its address.

Anybody who reaches a Dask scheduler can run any code on its workers. The local cluster listens on the
loopback interface only; another cluster needs TLS or a separate network, see docs/cluster.md.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar
from unittest.mock import patch

import distributed
import duckdb
import numpy as np
import xgboost
from distributed.comm import CommClosedError, connect, get_address_host
from distributed.security import Security

from dagster_project.settings import SQL_FOLDER
from dagster_project.warehouse.sql import sql_sha256
from uplift_core.boosting.side_by_side import cores
from uplift_core.errors import UpliftError

LOCAL = "local"
LOOPBACK = "127.0.0.1"
WAIT = 60  # seconds to wait for the scheduler and a first worker
LOST = (
    asyncio.CancelledError,
    distributed.client.CancelledError,
    CommClosedError,
    OSError,
    TimeoutError,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Address:
    """The address of a cluster: ``local`` or a scheduler's, with TLS files if it needs them.

    ``workers`` is the number of processes of a local cluster; 0: one per core.
    """

    scheduler: str
    workers: int = 0
    ca: str = ""
    certificate: str = ""
    key: str = ""


class Workers:
    """A connected client that submits work."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.client = _connect(address)
        self._checked: set[tuple[str, Path]] = set()

    def close(self) -> None:
        """Disconnect from the cluster; stop a local one."""
        _end(self.client)

    @property
    def link(self) -> str:
        """URL of Dask's dashboard."""
        return str(self.client.dashboard_link)

    @property
    def host(self) -> str:
        """This machine's address as workers see it."""
        if self.address.scheduler == LOCAL:
            return LOOPBACK
        return str(distributed.utils.get_ip(get_address_host(self.address.scheduler)))

    @property
    def names(self) -> list[str]:
        """Addresses of the connected workers, in order."""
        return sorted(self.client.scheduler_info(n_workers=-1)["workers"])

    def run(self, what: str, task: Callable[..., T], calls: Sequence[tuple]) -> list[T]:
        """Call ``task`` with every tuple of arguments on workers; return the results in order.

        If a worker dies, its call runs again on another one, up to three times.

        Raises:
            UpliftError: a call raised it, or the scheduler or too many workers were lost.
        """
        run = uuid.uuid4().hex[:8]
        try:
            futures = [
                self.client.submit(task, *call, key=f"{what}-{run}-{i}", pure=False)
                for i, call in enumerate(calls)
            ]
            return list(self.client.gather(futures))
        except distributed.KilledWorker as error:
            raise UpliftError(
                f"{what}: the worker of a task died more than three times, the last one was "
                f"{error.last_worker}; see its log, give workers more memory, or cut the file into "
                "smaller parts"
            ) from error
        except LOST as error:
            raise self._lost(what, error) from error

    def together(self, what: str, task: Callable[..., T], calls: Sequence[tuple]) -> list[T]:
        """Call ``task`` with every tuple of arguments at the same time, each on a separate worker.

        No call runs again: a worker that waits for a dead one fails, and then all calls fail.
        """
        run, futures = uuid.uuid4().hex[:8], []
        try:
            self.client.wait_for_workers(len(calls), timeout=WAIT)
            futures = [
                self.client.submit(task, *call, key=f"{what}-{run}-{i}", pure=False, workers=[name])
                for i, (call, name) in enumerate(zip(calls, self.names, strict=False))
            ]
            for future in distributed.as_completed(futures, loop=self.client.loop):
                if future.status == "error":  # the other calls may wait for it for a long time
                    future.result()
            return list(self.client.gather(futures))
        except LOST as error:
            raise self._lost(what, error) from error
        finally:
            self.client.cancel(futures, force=True)

    def _lost(self, what: str, error: BaseException) -> BaseException:
        """Return the error to raise: a clear one if the scheduler was lost, otherwise ``error``."""
        if self._is_reachable():
            return error  # raised by a task, such as a full disk
        reason = " ".join(str(error or type(error)).split())
        return UpliftError(
            f"{what}: the Dask scheduler {self.address.scheduler} was lost ({reason}). "
            "Nothing new was published; start it and run again"
        )

    def _is_reachable(self) -> bool:
        try:
            return self.client.status == "running" and self.client.run_on_scheduler(bool) is False
        except LOST:
            return False

    def check(self, home: Path) -> None:
        """Refuse workers that could give other results; each worker is checked once.

        Raises:
            UpliftError: a worker runs other versions or other SQL, or does not see the home's files.
        """
        unchecked = [name for name in self.names if (name, home) not in self._checked]
        if not unchecked:
            return
        mark = home / f".seen-by-workers-{uuid.uuid4().hex[:8]}"
        mark.touch()
        try:
            here = _environment(str(mark))
            environments = self.client.run(_environment, str(mark), workers=unchecked, on_error="ignore")
        except LOST as error:
            raise self._lost("checking the workers", error) from error
        finally:
            mark.unlink()
        for worker, there in environments.items():
            for name, value in here.items():
                if there[name] != value:
                    raise UpliftError(
                        f"worker {worker}: {name} is {there[name]}, here it is {value}; equal results "
                        "need the same versions, and UPLIFT_HOME at the same path of a file system that "
                        "all share"
                    )
        self._checked |= {(name, home) for name in environments}


def _environment(mark: str) -> dict[str, object]:
    """Return the versions and files that must be equal on all workers."""
    files = sorted(SQL_FOLDER.rglob("*.sql"))
    return {
        "duckdb": duckdb.__version__,
        "xgboost": xgboost.__version__,
        "numpy": np.__version__,
        "the SQL's sha256": sql_sha256(*(f.read_text(encoding="utf-8") for f in files))[:12],
        "a file of UPLIFT_HOME": "there" if Path(mark).is_file() else "missing",
    }


OPEN: dict[Address, Workers] = {}  # the open connections of this process


def connected(address: Address, home: Path) -> Workers:
    """Return the workers of a cluster; a process keeps the connection for all its steps.

    Raises:
        UpliftError: there is no scheduler or no worker, or workers differ from this machine.
    """
    if address in OPEN and OPEN[address].client.status != "running":
        OPEN.pop(address).close()
    if address not in OPEN:
        OPEN[address] = Workers(address)
    OPEN[address].check(home)
    return OPEN[address]


@atexit.register
def disconnect() -> None:
    """Stop the clusters that this process started, and disconnect from all others."""
    while OPEN:
        OPEN.popitem()[1].close()


def _connect(address: Address) -> distributed.Client:
    client = None
    try:
        if address.scheduler == LOCAL:
            # Without the patch, a worker would import the main program: seconds, and of no use to it.
            with patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
                cluster = distributed.LocalCluster(
                    n_workers=address.workers or cores(),
                    threads_per_worker=1,
                    host=LOOPBACK,
                    dashboard_address=f"{LOOPBACK}:0",
                    silence_logs=logging.CRITICAL,
                )
            client = distributed.Client(cluster)
        else:
            security = _security(address)
            asyncio.run(_reach(address.scheduler, security))
            client = distributed.Client(
                address.scheduler, timeout=WAIT, security=security, set_as_default=False
            )
        client.wait_for_workers(1, timeout=WAIT)
    except (OSError, TypeError, ValueError) as error:
        if client is not None:
            _end(client)
        raise UpliftError(
            f"UPLIFT_CLUSTER = {address.scheduler}: no scheduler with a worker answered ({error}). "
            "Start one (docs/cluster.md), correct the address, or unset it to run on this machine"
        ) from error
    return client


def _end(client: distributed.Client) -> None:
    client.close()
    if client.cluster is not None:
        client.cluster.close()


async def _reach(scheduler: str, security: Security | None) -> None:
    """Raise an error if no scheduler answers.

    The garbage collector closes a client that failed in its constructor, at any moment. If another
    client is constructed at that moment, both wait for the same lock for ever.
    """
    arguments = security.get_connection_args("client") if security else {}
    comm = await connect(scheduler, timeout=WAIT, **arguments)
    await comm.close()


def _security(address: Address) -> Security | None:
    if not address.ca:
        return None
    return Security(
        require_encryption=True,
        tls_ca_file=address.ca,
        tls_client_cert=address.certificate,
        tls_client_key=address.key,
    )
