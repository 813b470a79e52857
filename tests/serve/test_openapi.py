"""The whole description, tried by schemathesis: what it says is what happens."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from serve.app import create_app
from serve.settings import Settings
from tests.serve.support import copy_home

KEY = "a key for this test"
EXAMPLES = int(os.environ.get("API_EXAMPLES", "40"))  # requests of an operation, valid and not
OPERATIONS = [
    *("POST /score", "POST /score/batch", "POST /explain", "GET /policy", "GET /policy/sweep"),
    *(
        "GET /policy/arms",
        "GET /models",
        "GET /models/{version}",
        "GET /features",
        "GET /evidence",
        "GET /rules",
        "GET /lists",
        "GET /realised",
        "GET /lists/{experiment}/{campaign}/treat",
        "GET /lists/{experiment}/{campaign}/changes",
    ),
    *("POST /suppressions", "GET /suppressions/{experiment}/{user}"),
    *("GET /healthz", "GET /readyz", "GET /metrics"),
]


@pytest.fixture(scope="module")
def app(hillstrom_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    # Its requests suppress users, so no other test may see this home.
    app = create_app(
        Settings(
            home=copy_home(hillstrom_home, tmp_path_factory.mktemp("openapi") / "hillstrom"),
            allowed_hosts=("testserver", "localhost"),
            api_keys=(hashlib.sha256(KEY.encode()).hexdigest(),),
        )
    )
    with TestClient(app):
        yield app


@pytest.fixture(scope="module")
def operations(app: FastAPI) -> dict[str, schemathesis.schemas.APIOperation]:
    described = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"X-API-Key": KEY})
    operations = (result.ok() for result in described.get_all_operations())
    return {operation.label: operation for operation in operations}


def test_every_operation_is_tried(operations: dict[str, schemathesis.schemas.APIOperation]) -> None:
    assert sorted(operations) == sorted(OPERATIONS)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=str)
@pytest.mark.parametrize("label", OPERATIONS)
def test_every_operation_answers_as_described(
    operations: dict[str, schemathesis.schemas.APIOperation], label: str, mode: GenerationMode
) -> None:
    operation = operations[label]
    takes_nothing = not (operation.body or operation.query or operation.path_parameters)
    if mode == GenerationMode.NEGATIVE and takes_nothing:
        return  # there is nothing to send wrongly

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    def tried(case: schemathesis.Case) -> None:
        # Which experiments, arms and attributes there are is no part of the description: a request may
        # be well formed and name none of them.
        case.call_and_validate(headers={"X-API-Key": KEY}, excluded_checks=[positive_data_acceptance])

    tried()
