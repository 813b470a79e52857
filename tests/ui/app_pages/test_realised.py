"""The page Realised: promised and realised over nights, with both bands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st

from tests.serve.support import copy_home
from tests.ui.support import real_api, run_page
from ui.client import ApiClient
from ui.night_charts import realised_chart

FIRST = date(2026, 1, 1)


def nights(comparison: str = "list", *, agrees: bool = True) -> list[dict[str, object]]:
    return [
        {
            "decision_date": str(FIRST + timedelta(days=night)),
            "first_date": str(FIRST),
            "campaign": "womens",
            "outcome": "visit",
            "comparison": comparison,
            "nights": night,
            "treatments": 100 * night,
            "n_treated": 150,
            "n_control": 30,
            "uplift": 0.05,
            "std_error": 0.02 / night,
            "ci_low": 0.05 - 0.04 / night,
            "ci_high": 0.05 + 0.04 / night,
            "sequence_low": 0.05 - 0.09 / night,
            "sequence_high": 0.05 + 0.09 / night,
            "unadjusted": 0.05,
            "unadjusted_std_error": 0.025 / night,
            "promised": None if comparison == "choosing" else 0.06,
            "promised_std_error": None if comparison == "choosing" else 0.01,
            "agrees": None if comparison == "choosing" else agrees,
        }
        for night in range(1, 4)
    ]


@pytest.fixture(scope="module")
def url(hillstrom_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = copy_home(hillstrom_home, tmp_path_factory.mktemp("realised") / "home")
    with real_api(home) as url:
        yield url


@pytest.fixture
def answered(url: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The rows that the API answers, for a test to fill."""
    rows: list[dict[str, object]] = []
    get = ApiClient.get

    def changed(self: ApiClient, path: str, **query: object) -> object:
        answer = get(self, path, **query)
        return answer | {"over_time": rows} if path == "/realised" else answer

    monkeypatch.setenv("UPLIFT_API_URL", url)
    monkeypatch.setattr(ApiClient, "get", changed)
    st.cache_data.clear()
    return rows


@pytest.mark.usefixtures("answered")
def test_before_a_list_is_measured_the_page_says_how_to() -> None:
    (info,) = run_page("realised").info
    assert "uplift measure hillstrom outcomes.csv" in info.value


def test_every_comparison_has_its_chart_and_says_what_all_nights_show(
    answered: list[dict[str, object]],
) -> None:
    answered += nights() + nights("choosing")
    app = run_page("realised")
    assert not app.exception
    titles = [text.value for text in app.markdown if text.value.startswith("**")]
    assert any(title.startswith("**The treatments have added outcomes") for title in titles)
    assert any(title.startswith("**Choosing by the score has added outcomes") for title in titles)
    caption = " ".join(caption.value for caption in app.caption)
    assert "150 users were treated 300 times on 3 measured nights since 2026-01-01" in caption
    assert "20% narrower, as 56% more users would" in caption
    assert not app.warning


def test_a_promise_that_is_not_kept_is_told(answered: list[dict[str, object]]) -> None:
    answered += nights(agrees=False)
    assert "The promise is not kept" in run_page("realised").warning[0].value


def test_outcomes_and_campaigns_can_be_chosen(answered: list[dict[str, object]]) -> None:
    answered += nights() + [row | {"outcome": "conversion"} for row in nights()]
    app = run_page("realised")
    assert [box.label for box in app.selectbox if box.label in {"Campaign", "Outcome"}] == ["Outcome"]


def test_only_what_holds_on_all_nights_is_claimed() -> None:
    rows = pd.DataFrame(nights())
    rows["sequence_low"] = -0.01  # the interval of one look still leaves out 0
    title = realised_chart(rows, binary=True).title
    assert title.startswith("The treatments have not been shown to change outcomes")
