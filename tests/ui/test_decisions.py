"""Decision and list in one sentence: whatever both say, the page does not contradict itself."""

from __future__ import annotations

from itertools import product

import pytest

from tests.ui.support import ANSWER
from ui.client import Decision
from ui.decisions import headline, is_to_be_treated, two_rules_differ, why

LISTED = {
    "decision_date": "2026-03-01",
    "campaign": "womens",
    "learner": ANSWER["learner"],
    "model_version": ANSWER["model_version"],
    "budget": ANSWER["budget"],
    "cut": "size",
    "decision": "treat",
    "treated": True,
    "rank": 1512,
    "reason": "within_budget",
}
LEFT_OUT = {"decision": "no_treat", "treated": False, "rank": 25_000, "reason": "beyond_budget"}


def decision(listed: dict | None = None, **changes: object) -> Decision:
    said = {"decision": changes["score_decision"]} if "score_decision" in changes else {}
    return Decision(**ANSWER | {"role": "ranked"} | said | changes, listed=listed)


def test_without_a_list_the_decision_stands_alone() -> None:
    assert headline(decision()) == "Treat at a budget of 30 %"


def test_where_both_agree_both_are_told() -> None:
    assert headline(decision(LISTED)) == (
        "Treat at a budget of 30 %; the list of 2026-03-01 does so, too (place 1,512)"
    )
    assert headline(decision(LISTED | LEFT_OUT, score_decision="no_treat")) == (
        "Don't treat at a budget of 30 %; the list of 2026-03-01 does not either (place 25,000)"
    )


def test_where_the_two_rules_part_the_list_is_what_is_carried_out() -> None:
    on = decision(LISTED, score_decision="no_treat")
    assert headline(on) == "On the list of 2026-03-01 (place 1,512), though below the threshold"
    assert is_to_be_treated(on)
    off = decision(LISTED | LEFT_OUT)
    assert headline(off) == "Not on the list of 2026-03-01 (place 25,000), though above the threshold"
    assert not is_to_be_treated(off)
    for said in (on, off):
        assert "until its exact size is reached" in why(said)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": 0.1}, "the list of 2026-03-01 at 10 % does not"),
        ({"learner": "x"}, "the list of 2026-03-01 by the X-learner does not"),
        ({"model_version": "older"}, "the list of 2026-03-01 by an earlier model does not"),
    ],
)
def test_a_list_for_another_target_says_for_which(change: dict, words: str) -> None:
    said = decision(LISTED | LEFT_OUT | change)
    assert headline(said) == f"Treat at a budget of 30 %; {words} (place 25,000)"
    assert not two_rules_differ(said)
    assert is_to_be_treated(said)
    assert why(said) is None


@pytest.mark.parametrize(
    ("role", "reason", "words"),
    [
        ("holdout", "holdout", "held out for good"),
        ("suppressed", "unsubscribed", "not to be contacted (unsubscribed)"),
        ("suppressed", "contact_cap", "as often as the contact cap allows"),
    ],
)
def test_who_must_not_be_treated_is_told_why_and_what_the_score_says(
    role: str, reason: str, words: str
) -> None:
    on_it = {"decision": role, "treated": False, "rank": None, "reason": reason}
    said = decision(LISTED | on_it, role=role, reason=reason, decision="no_treat")
    assert headline(said).startswith("Must not be treated: ")
    assert not is_to_be_treated(said)
    assert words in why(said)
    assert "The list of 2026-03-01 leaves out this user." in why(said)
    assert "The score alone would say: Treat at a budget of 30 %." in why(said)


def test_who_was_suppressed_after_the_list_was_made_is_told_so() -> None:
    said = decision(LISTED, role="suppressed", reason="unsubscribed", decision="no_treat")
    assert "The list of 2026-03-01 was made before and treats this user." in why(said)


def test_an_explorers_decision_is_not_called_the_scores() -> None:
    drawn = decision(LISTED | {"decision": "explore"}, role="explore", reason="explore",
                     decision="treat", score_decision="no_treat")  # fmt: skip
    assert headline(drawn).startswith("Treat at a budget of 30 %; the list of 2026-03-01 does so, too")
    assert "Chance decides" in why(drawn)
    assert "The score alone would say: Don't treat at a budget of 30 %." in why(drawn)


def test_a_headline_says_one_thing_to_do() -> None:
    roles = ("ranked", "explore", "holdout", "suppressed")
    for said, listed, role in product(("treat", "no_treat"), (LISTED, LISTED | LEFT_OUT), roles):
        kept_out = role in {"holdout", "suppressed"}
        final = "no_treat" if kept_out else said
        text = headline(decision(listed, role=role, decision=final, score_decision=said))
        parted = role == "ranked" and listed["treated"] != (said == "treat")
        begins = {"treat": "Treat at", "no_treat": "Don't treat at"}[said]
        if kept_out:
            begins = "Must not be treated"
        elif parted:
            begins = "On the list" if listed["treated"] else "Not on the list"
        assert text.startswith(begins)
        assert ("reat at a budget" in text) == (not kept_out and not parted)
