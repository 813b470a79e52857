from __future__ import annotations

import pytest

from tests.ui.support import ANSWER
from ui.client import Decision
from ui.wording import effect, headline, percent, points, reason


def decision(**changes: object) -> Decision:
    return Decision(**ANSWER | changes)


def test_numbers() -> None:
    assert points(0.0587) == "+5.87 pp"
    assert points(-0.0123) == "\N{MINUS SIGN}1.23 pp"
    assert percent(0.3) == "30 %"
    assert percent(0.157) == "15.7 %"
    assert percent(1.0) == "100 %"


def test_a_user_to_treat() -> None:
    treat = decision()
    assert headline(treat) == "Treat at a budget of 30 %"
    assert "raise" in effect(treat)
    assert "**5.87 percentage points**, from about 15.7 % to about 21.6 %" in effect(treat)
    assert reason(treat).startswith("It reaches 5.00 percentage points")


def test_a_user_not_to_treat() -> None:
    no_treat = decision(decision="no_treat", score=0.02)
    assert headline(no_treat) == "Don't treat at a budget of 30 %"
    assert reason(no_treat).startswith("It stays below 5.00 percentage points")


def test_a_sleeping_dog() -> None:
    assert "lower this user's chance" in effect(decision(decision="no_treat", score=-0.02))
    assert "**2.00 percentage points**" in effect(decision(decision="no_treat", score=-0.02))


def test_no_effect() -> None:
    assert "should not change" in effect(decision(score=0.0))


def test_a_budget_for_nobody() -> None:
    nobody = decision(decision="no_treat", threshold=None, budget=0.0)
    assert headline(nobody) == "Don't treat at a budget of 0 %"
    assert "too small to treat anybody" in reason(nobody)


@pytest.mark.parametrize(("response", "score", "end"), [(0.99, 0.2, "100 %"), (0.01, -0.2, "0 %")])
def test_chances_stay_chances(response: float, score: float, end: str) -> None:
    assert effect(decision(response=response, score=score)).endswith(f"to about {end}.")


def test_unknown_names_are_shown_as_they_are() -> None:
    text = effect(decision(arm="sms", outcome="conversion"))
    assert text.startswith("Sms should raise")
    assert "conversion" in text


def test_outcomes_that_are_no_shares_are_told_in_their_own_units() -> None:
    spend = decision(outcome="spend", score=2.5, response=12.25, threshold=1234.5)
    assert points(-2.5, binary=False) == "\N{MINUS SIGN}2.5"
    assert effect(spend, binary=False) == (
        "The e-mail with women's goods should raise this user's spend by **2.5**, "
        "from about 12.25 to about 14.75."
    )
    assert reason(spend, binary=False).startswith("It reaches 1,234, the least uplift")
    assert "percentage" not in effect(spend, binary=False) + reason(spend, binary=False)
