"""The pages of an experiment with several treatments whose list chooses each user's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st

from tests.serve.support import query
from tests.support import OFFER_COSTS, offers_experiment, run_job
from tests.ui.support import metrics, real_api, run_page
from ui.arm_charts import choice_title, nearest
from ui.client import ApiClient
from ui.wording import best_arm


@pytest.fixture(scope="module")
def url(offers_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of the offers, with a list of the best arm."""
    home = tmp_path_factory.mktemp("best") / "home"
    shutil.copytree(offers_home, home, symlinks=True)
    ordered = {"arm": "best", "budget": 0.5, "max_users": {"call": 900}}
    only = ["treat_list", "export", "published"]
    assert run_job(offers_experiment(home), home, only=only, config={"treat_list": ordered}).success
    with real_api(home) as url:
        yield url


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    monkeypatch.setenv("UPLIFT_API_URL", url)
    st.cache_data.clear()
    return ApiClient(url, 10)


def test_the_sweep_says_how_arms_share_the_budget_and_what_choosing_adds(client: ApiClient) -> None:
    app = run_page("sweep")
    assert not app.exception
    assert "The best treatment for each user" in [head.value for head in app.subheader]
    answer = client.get("/policy/arms", experiment="offers")
    at = nearest(answer, client.get("/models")[0]["budget"])
    texts = " ".join(text.value for text in app.markdown)
    assert choice_title(at).replace(" %", "\N{NO-BREAK SPACE}%") in texts
    decides = "each user's treatment is chosen" if at["decider"] == "multi_arm" else at["decider"]
    assert decides in texts


def test_a_user_is_told_every_treatment_and_which_one_is_best(
    client: ApiClient, offers_home: Path
) -> None:
    told = set()
    for row in query(offers_home, "select user_id from raw.offers order by user_id limit 40"):
        user = row["user_id"]
        answer = client.post("/score", {"user_id": user, "arm": "best", "experiment": "offers"})
        if (answer["decision"], answer["role"]) in told:
            continue
        told.add((answer["decision"], answer["role"]))
        app = run_page("score", user=str(user))
        assert not app.exception
        assert "The best treatment for this user" in [head.value for head in app.subheader]
        texts = [text.value for text in app.markdown]
        assert best_arm(answer) in texts
        assert answer["best_arm"]["reason"] in texts
    assert {decision for decision, _ in told} == {"treat", "no_treat"}


def test_the_list_is_told_by_treatment(client: ApiClient) -> None:
    answer = client.get("/lists", experiment="offers")
    app = run_page("lists", campaign="best")
    assert not app.exception
    assert "By treatment" in [head.value for head in app.subheader]
    (night,) = [night for night in answer["nights"] if night["campaign"] == "best"]
    arms = {row["arm"]: row["treated"] for row in answer["arms"]}
    assert set(arms) == set(OFFER_COSTS)
    assert arms["call"] <= 900
    assert sum(arms.values()) == night["treated"]
    assert metrics(app)["Held out"] == f"{night['holdout']:,}"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.2, "beats"), (-0.2, -0.1, "is worse than"), (-0.1, 0.1, "is not shown to differ from")],
)
def test_a_title_claims_no_more_than_the_interval(low: float, high: float, words: str) -> None:
    at = {"budget": 0.3, "best_single": "a", "difference_ci_low": low, "difference_ci_high": high}
    assert choice_title(at) == f"At 30 %, choosing each user's {words} 'a' for all"
