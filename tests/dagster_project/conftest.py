"""A finished small run that a test may write into, and an S3 server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from dagster_project.declared.experiment import BatchExperiment
from tests.support import small_simulation
from uplift_core.artifacts.home import Home


@pytest.fixture
def home(simulated_home: Path, tmp_path: Path) -> Home:
    """A home with a copy of the finished simulated run."""
    shutil.copytree(simulated_home, tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture(scope="session")
def simulated() -> BatchExperiment:
    """The experiment of the simulated run."""
    return small_simulation()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder in a bucket of an S3 server that runs in this process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield "s3://bucket/lists"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
