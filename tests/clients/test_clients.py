"""Clients that generators make of the description: they type-check, and the service understands them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.servers import api_on
from tests.serve.support import copy_home

KEY = "a key for this test"
HERE = Path(__file__).parent


def run(command: list[str], folder: Path, **environment: str) -> str:
    """Output of a command, which must succeed."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def service(hillstrom_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a service that takes ``KEY``."""
    home = copy_home(hillstrom_home, tmp_path_factory.mktemp("clients") / "home")
    keys = json.dumps([hashlib.sha256(KEY.encode()).hexdigest()])
    with api_on(home, UPLIFT_API_KEYS=keys) as (url, _):
        yield url


@pytest.fixture(scope="module")
def description(service: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The description, as a file."""
    path = tmp_path_factory.mktemp("description") / "openapi.json"
    answer = httpx.get(f"{service}/openapi.json", headers={"X-API-Key": KEY}, trust_env=False)
    path.write_bytes(answer.raise_for_status().content)
    return path


def check_answers(service: str, told: dict[str, Any]) -> None:
    """What a client was told, against plain requests."""

    def ask(**body: object) -> dict[str, Any]:
        answer = httpx.post(
            f"{service}/score", json=body, headers={"X-API-Key": KEY}, trust_env=False, timeout=30
        )
        return answer.raise_for_status().json()

    features = httpx.get(
        f"{service}/features", headers={"X-API-Key": KEY}, trust_env=False, timeout=30
    ).json()
    one = ask(attributes=features["example"], budget=0.3)
    two, three = ask(user_id=7), ask(user_id=8)
    assert told["scores"] == [one["score"], two["score"], two["score"]]
    assert told["batch"] == [one["score"]] * 2
    assert told["batch_of_ids"] == [two["score"], three["score"]]
    assert told["explained"] == pytest.approx(one["score"], abs=1e-6)
    assert told["decision"] == one["decision"]
    assert told["threshold"] == one["threshold"]
    assert told["models"] == ["hillstrom"]
    assert (told["status"], told["problem"]) == (422, "budget = 2: must be at most 1")


def test_the_description_names_every_problem_once(description: Path) -> None:
    document = json.loads(description.read_text())
    schemas = document["components"]["schemas"]
    assert {"Problem", "ScoreRequest", "BatchRequest"} <= schemas.keys()
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    (content,) = answer["content"].values()
                    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
    for name in ("ScoreRequest", "BatchRequest"):
        assert schemas[name].keys().isdisjoint({"oneOf", "anyOf", "allOf"})
        assert schemas[name]["additionalProperties"] is False
    names = [
        operation["operationId"] for path in document["paths"].values() for operation in path.values()
    ]
    assert {"score", "score_batch", "policy_sweep"} <= {*names}
    assert len(names) == len({*names})


def test_a_client_in_python(service: str, description: Path, tmp_path: Path) -> None:
    bin_ = Path(sys.executable).parent
    path = f"{bin_}{os.pathsep}{os.environ['PATH']}"  # the generator looks for ruff there
    said = run(
        [str(bin_ / "openapi-python-client"), "generate", "--path", str(description)],
        tmp_path,
        PATH=path,
    )
    # An Arrow stream is no JSON: the generator leaves that form of a batch out, and nothing else.
    assert said.count("WARNING") == said.count("Unsupported content type") == 1
    client = tmp_path / "uplift-engine-client"
    shutil.copy(HERE / "python_client.py", client)
    options = ["--strict", "--no-incremental", "--cache-dir", os.devnull, "--config-file", os.devnull]
    run([sys.executable, "-m", "mypy", *options, "uplift_engine_client", "python_client.py"], client)
    check_answers(service, json.loads(run([sys.executable, "python_client.py", service, KEY], client)))


def test_a_client_in_typescript(service: str, description: Path, tmp_path: Path) -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        message = "the generated TypeScript client needs node (20 or later) and npm"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    for file in (HERE / "typescript").iterdir():
        shutil.copy(file, tmp_path)
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], tmp_path)
    run(["npx", "--no-install", "openapi-typescript", str(description), "-o", "schema.d.ts"], tmp_path)
    run(["npx", "--no-install", "tsc", "--project", "tsconfig.json"], tmp_path)
    check_answers(service, json.loads(run(["node", "client.js", service, KEY], tmp_path)))
