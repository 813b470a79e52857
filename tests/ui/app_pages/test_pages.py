"""Every page, with the real API on the Hillstrom run, with none, and with one that comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import ui
from tests.serve.support import copy_home, manifest_of, query
from tests.ui.support import real_api
from ui.client import ApiClient
from ui.wording import points

APP = Path(ui.__file__).parent / "app.py"
PAGES = {
    "score": "Score a user",
    "sweep": "Budget sweep",
    "evidence": "Evidence",
    "lists": "Tonight's list",
    "model": "Model",
}


@pytest.fixture(scope="module")
def served(hillstrom_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(hillstrom_home, tmp_path_factory.mktemp("pages") / "home")


@pytest.fixture(scope="module")
def url(served: Path) -> Iterator[str]:
    with real_api(served) as url:
        yield url


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    monkeypatch.setenv("UPLIFT_API_URL", url)
    return ApiClient(url, 10)


def run_page(name: str, **query_: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=30)
    for key, value in query_.items():
        app.query_params[key] = value
    app.run()
    if name != "score":
        app.switch_page(f"app_pages/{name}.py").run()
    assert not app.exception, app.exception
    return app


def widget(app: AppTest, kind: str, label: str):
    (found,) = [w for w in app.get(kind) if w.label.startswith(label)]
    return found


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_and_says_what_it_is(client: ApiClient, name: str) -> None:
    app = run_page(name)
    assert app.title[0].value == PAGES[name]
    assert not app.error


@pytest.mark.parametrize("name", PAGES)
def test_without_the_api_every_page_says_what_to_do(
    closed_url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("UPLIFT_API_URL", closed_url)
    app = run_page(name)
    assert f"The API does not answer at {closed_url}" in app.error[0].value
    assert "make serve" in app.error[0].value


def test_a_page_recovers_when_the_api_comes_back(
    served: Path, closed_url: str, client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPLIFT_API_URL", closed_url)
    app = run_page("score")
    assert app.error
    monkeypatch.setenv("UPLIFT_API_URL", client.url)
    widget(app, "button", "Try again").click().run()
    assert not app.error
    assert app.metric


def test_the_budget_moves_threshold_and_decision_as_the_api_says(client: ApiClient) -> None:
    app = run_page("score", user="7")
    seen = set()
    for budget in (1, 30, 60, 100):
        widget(app, "slider", "Budget").set_value(budget).run()
        said = client.post("/score", {"user_id": 7, "arm": "womens", "budget": budget / 100})
        assert metrics(app)["Threshold"] == points(said["threshold"])
        assert metrics(app)["Uplift"] == points(said["score"])
        shown = app.success[0] if said["decision"] == "treat" else app.warning[0]
        assert "reat at a budget" in shown.value
        seen.add(said["decision"])
        assert app.query_params["budget"] == str(budget)
    assert seen == {"treat", "no_treat"}


def test_the_form_is_made_of_the_contract_and_scores_what_it_says(client: ApiClient) -> None:
    app = run_page("score")
    app.segmented_control[0].set_value("Attributes").run()
    widget(app, "slider", "Recency").set_value(11)
    widget(app, "number_input", "History").set_value(99.5)
    widget(app, "selectbox", "Channel").set_value("Multichannel")
    widget(app, "selectbox", "Zip code").set_value("Surburban")
    widget(app, "toggle", "Mens").set_value(False)
    widget(app, "toggle", "Womens").set_value(True)
    widget(app, "toggle", "Newbie").set_value(True)
    widget(app, "button", "Score this user").click().run()
    attributes = {
        "recency": 11,
        "history": 99.5,
        "channel": "Multichannel",
        "zip_code": "Surburban",
        "mens": 0,
        "womens": 1,
        "newbie": 1,
    }
    said = client.post("/score", {"attributes": attributes, "budget": 0.3, "arm": "womens"})
    assert metrics(app)["Uplift"] == points(said["score"])
    assert '"channel": "Multichannel"' in app.code[0].value


def test_a_held_out_user_is_told_apart(client: ApiClient, served: Path) -> None:
    held = "select min(user_id) as user_id from decisions.treat_list where decision = 'holdout'"
    (row,) = query(served, held)
    app = run_page("score", user=str(row["user_id"]))
    assert "held out for good" in app.info[0].value


def test_an_unknown_user_is_an_answer_in_words(client: ApiClient) -> None:
    app = run_page("score", user="99000000")
    assert "user_id = 99000000: not in the published snapshot" in app.error[0].value


def test_a_shared_address_opens_the_same_sweep(client: ApiClient) -> None:
    app = run_page("score", experiment="hillstrom", arm="mens", budget="45")
    assert widget(app, "selectbox", "Treatment").value == "mens"
    assert widget(app, "slider", "Budget").value == 45


def test_what_was_chosen_holds_on_the_next_page(client: ApiClient) -> None:
    app = run_page("score")
    widget(app, "selectbox", "Treatment").set_value("mens").run()
    widget(app, "slider", "Budget").set_value(12).run()
    app.query_params.clear()  # as following a link to another page does
    app.switch_page("app_pages/sweep.py").run()
    assert widget(app, "selectbox", "Treatment").value == "mens"
    assert widget(app, "slider", "Budget").value == 12


def test_a_sweep_with_money_finds_the_best_budget(client: ApiClient) -> None:
    app = run_page("sweep")
    widget(app, "number_input", "Cost").set_value(0.5)
    widget(app, "number_input", "Value").set_value(12.0).run()
    policy = client.get("/policy/sweep", arm="womens")
    profit = [1e5 * (12.0 * row["incremental"] - 0.5 * row["budget"]) for row in policy["rows"]]
    best = profit.index(max(profit)) + 1
    assert any(f"Profit is largest at {best} %" in caption.value for caption in app.caption)
    assert metrics(app)["Profit"] == f"{profit[29]:,.0f}"


def test_the_gates_word_is_in_plain_language(client: ApiClient, served: Path) -> None:
    app = run_page("evidence")
    (row,) = query(
        served, "select gate from models.registry where arm = 'womens' and champion and is_current"
    )
    box = app.success if row["gate"] == "passed" else app.warning
    assert "gate" in box[0].value
    assert "claims hold" in " ".join(text.value for text in app.markdown)


def test_tonights_list_counts_as_the_snapshot_does(client: ApiClient, served: Path) -> None:
    app = run_page("lists")
    (row,) = query(served, "from decisions.nights")
    assert metrics(app)["Held out"] == f"{row['holdout']:,}"
    assert f"**{row['treated']:,} of {row['users']:,} users are treated**" in app.markdown[0].value


def test_the_model_page_shows_the_card_and_the_sql(client: ApiClient, served: Path) -> None:
    app = run_page("model")
    assert manifest_of(served, "hillstrom").features_sql.strip() in app.code[0].value
    assert any("S-learner" in text.value for text in app.markdown)


@pytest.mark.timed
@pytest.mark.parametrize("name", PAGES)
def test_a_page_answers_within_a_second(client: ApiClient, name: str) -> None:
    app = run_page(name)
    started = time.monotonic()
    app.run()
    assert time.monotonic() - started < 1.0
