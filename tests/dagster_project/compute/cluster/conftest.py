"""A cluster whose workers are threads of this process: nothing to start."""

from __future__ import annotations

from collections.abc import Iterator

import distributed
import pytest

from dagster_project.compute.cluster import dask_client as client
from dagster_project.compute.cluster.dask_client import Address, Workers


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Two workers."""
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
    ) as cluster:
        connected = Workers(Address(cluster.scheduler_address))
        yield connected
        client.disconnect()  # what a test's cluster of this address opened
        connected.close()
