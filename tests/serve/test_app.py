from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serve import scorer
from serve.app import create_app, from_environment
from serve.settings import Settings
from tests.serve.support import api_of
from uplift_core.artifacts.home import CHECKOUT

PROBLEM = "application/problem+json"


def test_nothing_published_says_what_to_run(tmp_path: Path) -> None:
    with api_of(tmp_path) as api:
        answer = api.post("/score", json={"attributes": {}})
    assert answer.status_code == 503
    assert answer.headers["content-type"] == PROBLEM
    assert "make run" in answer.json()["detail"]
    assert str(tmp_path) not in answer.text


def test_it_answers_once_something_is_published(
    home: Path, tmp_path: Path, simulated_user: dict
) -> None:
    later = tmp_path / "later"
    with api_of(later) as api:
        assert api.post("/score", json={"attributes": simulated_user}).status_code == 503
        home.rename(later)
        assert api.post("/score", json={"attributes": simulated_user}).status_code == 200


def test_nothing_is_read_when_the_application_is_made(tmp_path: Path) -> None:
    create_app(Settings(home=tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_the_environment_names_the_home(
    home: Path, monkeypatch: pytest.MonkeyPatch, simulated_user: dict
) -> None:
    monkeypatch.setenv("UPLIFT_HOME", str(home))
    monkeypatch.setenv("UPLIFT_ALLOWED_HOSTS", '["testserver"]')
    with TestClient(from_environment()) as api:
        assert api.post("/score", json={"attributes": simulated_user}).status_code == 200


def test_the_home_defaults_to_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPLIFT_HOME", raising=False)
    assert Settings().home == CHECKOUT / ".uplift"
    assert (CHECKOUT / "pyproject.toml").is_file()


def test_unknown_paths_and_methods_are_problems(simulated_api: TestClient) -> None:
    missing = simulated_api.get("/nope")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == PROBLEM
    wrong = simulated_api.get("/score")
    assert wrong.status_code == 405
    assert wrong.headers["content-type"] == PROBLEM
    assert wrong.headers["allow"] == "POST"


def test_an_unexpected_error_is_a_problem_that_tells_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, simulated_user: dict
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(scorer, "score", fails)
    with api_of(home) as api:
        answer = api.post("/score", json={"attributes": simulated_user})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == PROBLEM
    assert "secret" not in answer.text


def test_the_description_tells_of_problems(simulated_api: TestClient) -> None:
    responses = simulated_api.get("/openapi.json").json()["paths"]["/score"]["post"]["responses"]
    assert set(responses) == {"200", "400", "401", "404", "413", "422", "503"}
    assert set(responses["422"]["content"]) == {PROBLEM}


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc"])
def test_the_documentation_needs_no_other_server(tmp_path: Path, path: str) -> None:
    with api_of(tmp_path) as api:
        page = api.get(path).text
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert any(address.endswith(".js") for address in loaded)
        for address in loaded:
            assert address.startswith("/")
            assert api.get(address).status_code == 200
