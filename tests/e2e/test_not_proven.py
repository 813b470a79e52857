"""A list by chance, because the gate is not passed: one word from the warehouse to the app."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.serve.support import query
from tests.support import SMALL, opened, run_job, small_simulation, with_experiment
from tests.ui.support import real_api, run_page
from ui.client import ApiClient
from uplift_core.artifacts.home import Home
from uplift_core.experiment.decision_rules import Decisions, GateLimits

BUDGET = 0.3


@pytest.fixture(scope="module", params=["inconclusive", "contradicted"])
def explored(
    request: pytest.FixtureRequest, simulated_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The gate's word, and a home with a list that chance drew for it."""
    home = tmp_path_factory.mktemp(request.param) / "home"
    shutil.copytree(simulated_home, home)
    with opened(Home(home)) as db:
        db.rows("update models.registry set gate = $word", {"word": request.param})
    decisions = Decisions(when_not_proven="explore", gates=GateLimits(list_change=1.0))
    folder = with_experiment(small_simulation(), decisions=decisions)
    run_job(folder, home, only=("treat_list", "export", "published"))
    return request.param, home


@pytest.fixture
def client(explored: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiClient]:
    with real_api(explored[1]) as url:
        monkeypatch.setenv("UPLIFT_API_URL", url)
        yield ApiClient(url, 10)


def test_the_manifest_says_the_word_and_that_chance_chose(explored: tuple[str, Path]) -> None:
    word, home = explored
    night = datetime.now(UTC).date().isoformat()
    text = (home / f"exports/simulated/{night}/treated/manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    assert (manifest["evidence"], manifest["chosen_by"]) == (word, "chance")
    assert manifest["decisions"]["explore"]["treated"] == manifest["treated"] == SMALL * BUDGET
    assert set(manifest["decisions"]) == {"explore", "holdout"}


def test_the_service_decides_about_known_users_as_the_list_does(
    explored: tuple[str, Path], client: ApiClient
) -> None:
    word, home = explored
    rows = query(home, "from decisions.listed where experiment = 'simulated' order by user_id")
    users = [row["user_id"] for row in rows]
    answer = client.post("/score/batch", {"user_ids": users, "budget": BUDGET})
    assert answer["evidence"] == word
    assert answer["treat"] == [row["treated"] for row in rows]
    assert set(answer["roles"]) == {"explore", "holdout"}
    (night,) = client.get("/lists")["nights"]
    assert (night["evidence"], night["chosen_by"]) == (word, "chance")
    assert client.get("/policy")["evidence"] == word


def test_the_app_says_that_chance_drew_the_list(client: ApiClient) -> None:
    app = run_page("lists")
    assert "Chance drew the users of this list" in " ".join(info.value for info in app.info)
    assert app.warning, "the page does not say that choosing is not shown to pay off"
