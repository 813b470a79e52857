from __future__ import annotations

import pytest

from tests.ui.support import ANSWER
from ui.client import Decision
from ui.decisions import headline
from ui.wording import (
    FIGURES,
    by_score,
    claim,
    effect,
    gate_reason,
    interval,
    metric,
    not_shown,
    percent,
    points,
    promise,
    promise_holds_nothing,
    reason,
    shown,
    span,
    with_error,
)

GATE = {
    "learner": "dr",
    "gate": "inconclusive",
    "gate_reason": "Treating 20%, 'dr' is not shown to beat random targeting.",
    "needed_users": 1234567,
    "budget": 0.2,
}


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
    no_treat = decision(decision="no_treat", score_decision="no_treat", score=0.02)
    assert headline(no_treat) == "Don't treat at a budget of 30 %"
    assert reason(no_treat).startswith("It stays below 5.00 percentage points")


def test_a_sleeping_dog() -> None:
    assert "lower this user's chance" in effect(decision(decision="no_treat", score=-0.02))
    assert "**2.00 percentage points**" in effect(decision(decision="no_treat", score=-0.02))


def test_no_effect() -> None:
    assert "should not change" in effect(decision(score=0.0))


def test_a_budget_for_nobody() -> None:
    nobody = decision(decision="no_treat", score_decision="no_treat", threshold=None, budget=0.0)
    assert headline(nobody) == "Don't treat at a budget of 0 %"
    assert "too small to treat anybody" in reason(nobody)


@pytest.mark.parametrize(("response", "score", "end"), [(0.99, 0.2, "100 %"), (0.01, -0.2, "0 %")])
def test_chances_stay_chances(response: float, score: float, end: str) -> None:
    assert effect(decision(response=response, score=score)).endswith(f"to about {end}.")


def test_unknown_names_are_shown_as_they_are() -> None:
    text = effect(decision(arm="sms", outcome="conversion"))
    assert text.startswith("The treatment 'sms' should raise this user's chance of 'conversion' by ")


def test_outcomes_that_are_no_shares_are_told_in_their_own_units() -> None:
    spend = decision(outcome="spend", score=2.5, response=12.25, threshold=1234.5)
    assert points(-2.5, binary=False) == "\N{MINUS SIGN}2.50"
    assert effect(spend, binary=False) == (
        "The e-mail with women's goods should raise this user's 'spend' by **2.50**, "
        "from about 12.25 to about 14.75."
    )
    assert reason(spend, binary=False).startswith("It reaches 1,234, the least uplift")
    assert "percentage" not in effect(spend, binary=False) + reason(spend, binary=False)


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (1.46, 0.7964, 2.123, "+1.46 (95 % interval +0.80 to +2.12)"),
        (0.0146, -0.007964, 0.02123, "+0.0146 (95 % interval \N{MINUS SIGN}0.0080 to +0.0212)"),
        (2345.6, 3.0, 5000.0, "+2,346 (95 % interval +3 to +5,000)"),
        (0.0, 0.0, 0.0, "+0.00 (95 % interval +0.00 to +0.00)"),
    ],
)
def test_an_interval_has_even_digits(value: float, low: float, high: float, text: str) -> None:
    assert interval(value, low, high, binary=False) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1200.4, 208.7, "1,200 ± 209"),
        (34.26, 5.14, "34.3 ± 5.1"),
        (-0.0123, 0.00456, "\N{MINUS SIGN}0.0123 ± 0.0046"),
        (12.0, 0.0, "12.00 ± 0.00"),
    ],
)
def test_a_figure_has_no_more_digits_than_its_error(value: float, error: float, text: str) -> None:
    assert with_error(value, error) == text


def test_an_interval_of_amounts_is_called_so() -> None:
    assert span(-101.6, 9709.2) == "95 % interval \N{MINUS SIGN}102 to 9,709"


@pytest.mark.parametrize("role", ["holdout", "suppressed"])
def test_who_must_not_be_treated_is_told_so_first(role: str) -> None:
    kept_out = decision(role=role, decision="no_treat", reason=role)
    assert headline(kept_out).startswith("Must not be treated")
    assert by_score(kept_out) == "Treat at a budget of 30 %"


@pytest.mark.parametrize("role", ["ranked", "explore", None])
def test_the_score_decides_about_all_others(role: str | None) -> None:
    assert headline(decision(role=role)) == "Treat at a budget of 30 %"


def test_a_shut_gate_says_what_is_not_shown_and_what_would_settle_it() -> None:
    text = not_shown(GATE)
    assert "at a budget of 20 %" in text
    assert "not shown to beat random targeting" in text
    assert "acting on the DR-learner's scores" in text
    assert "About 1,234,567 users would settle it." in text


def test_where_no_number_of_users_settles_it_none_is_named() -> None:
    text = not_shown(GATE | {"needed_users": None})
    assert "More users alone would not settle it" in text
    assert "None" not in text


def test_an_open_gate_names_whom_it_is_open_for() -> None:
    assert "at a budget of 20 %, the DR-learner is shown to beat" in shown(GATE)


def test_the_gates_reason_calls_the_learner_by_its_name() -> None:
    assert gate_reason(GATE) == "Treating 20%, the DR-learner is not shown to beat random targeting."


@pytest.mark.parametrize(
    ("promised", "error", "nothing"),
    [
        (0.06, 0.01, False),
        (0.01, 0.01, True),
        (-0.06, 0.01, True),
        (0.0, 0.0, True),
        (None, None, False),
    ],
)
def test_a_promise_is_above_0_with_its_interval_or_not(
    promised: float | None, error: float | None, nothing: bool
) -> None:
    night = {"promised": promised, "promised_std_error": error}
    assert promise_holds_nothing(night) is nothing
    assert (promise(night, "visit", binary=True) is None) is (promised is None)


def test_a_promise_names_its_outcome_and_its_interval() -> None:
    night = {"promised": 0.0619, "promised_std_error": 0.01}
    said = promise(night, "visit", binary=True)
    assert said is not None
    assert "share of users with 'visit'" in said
    assert "+6.19 pp (95 % interval +4.23 pp to +8.15 pp)" in said


@pytest.mark.parametrize("name", [*FIGURES, "gain_at_30", "something_new"])
def test_figures_and_claims_have_no_codes(name: str) -> None:
    for text in (metric(name), claim(f"covers {name}")):
        assert "_" not in text
