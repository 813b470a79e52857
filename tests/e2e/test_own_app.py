"""Experiments of one's own in the app: five arms, text ids and spend; a rare outcome; a history."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.own_experiments import OFFERS
from tests.serve.support import query
from tests.ui.support import PAGES, metrics, real_api, run_page, widget
from ui.client import ApiClient
from ui.wording import level, points

NAMES = ("offers", "rare", "timed")


@pytest.fixture(scope="module")
def url(own_home: Path) -> Iterator[str]:
    with real_api(own_home) as url:
        yield url


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    monkeypatch.setenv("UPLIFT_API_URL", url)
    return ApiClient(url, 10)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_an_experiment_of_ones_own(client: ApiClient, page: str) -> None:
    app = run_page(page, experiment="offers")
    assert app.title[0].value == PAGES[page]
    assert not app.error
    assert widget(app, "selectbox", "Experiment").value == "offers"
    assert not re.search(r"\d pp\b", " ".join(text.value for text in app.markdown))


def test_a_user_of_63_bits_is_scored_in_the_units_of_the_outcome(
    client: ApiClient, own_home: Path
) -> None:
    (user,) = query(own_home, "select max(user_id) as user_id from raw.offers")
    app = run_page("score", experiment="offers", user=str(user["user_id"]), arm="gift")
    body = {"experiment": "offers", "arm": "gift", "user_id": user["user_id"]}
    said = client.post("/score", body)
    assert metrics(app)["Uplift"] == points(said["score"], binary=False)
    assert metrics(app)["Without treatment"] == level(said["response"], binary=False)
    shown = (app.success or app.info)[0].value
    assert "this user's 'spend'" in shown
    assert "percentage" not in shown


def test_every_arm_can_be_chosen(client: ApiClient) -> None:
    app = run_page("score", experiment="offers")
    arms = widget(app, "selectbox", "Treatment").options
    assert len(arms) == len(OFFERS) - 1
    seen = set()
    for arm in arms:
        widget(app, "selectbox", "Treatment").set_value(arm).run()
        assert not app.error
        seen.add(metrics(app)["Uplift"])
    assert len(seen) > 1


@pytest.mark.parametrize("experiment", NAMES)
def test_the_form_scores_what_it_shows_first(client: ApiClient, experiment: str) -> None:
    app = run_page("score", experiment=experiment)
    app.segmented_control[0].set_value("Attributes").run()
    widget(app, "button", "Score this user").click().run()
    assert not app.error
    example = client.get("/features", experiment=experiment)["example"]
    said = client.post("/score", {"experiment": experiment, "attributes": example})
    binary = experiment != "offers"
    assert metrics(app)["Uplift"] == points(said["score"], binary=binary)


def test_another_experiment_starts_with_a_user_of_its_own(client: ApiClient) -> None:
    app = run_page("score", experiment="rare", user="1000007")
    widget(app, "selectbox", "Experiment").set_value("offers").run()
    assert not app.error
    first = client.get("/features", experiment="offers")["example_user"]
    assert widget(app, "text_input", "User id").value == str(first)


def test_an_id_is_taken_as_the_file_writes_it(client: ApiClient) -> None:
    app = run_page("score", experiment="offers", user="c-00012", arm="gift")
    assert not app.error
    said = client.post("/score", {"experiment": "offers", "arm": "gift", "user_id": "c-00012"})
    assert metrics(app)["Uplift"] == points(said["score"], binary=False)


def test_an_id_that_no_file_has_is_an_answer_in_words(client: ApiClient) -> None:
    app = run_page("score", experiment="offers", user="nobody")
    assert "nobody" in app.error[0].value
