"""Titles claim no more than the intervals bear; what is drawn adds up."""

from __future__ import annotations

import pandas as pd
import pytest

from ui.charts import (
    against_random,
    contributions_chart,
    counts_chart,
    decile_chart,
    qini_chart,
)
from ui.sweep_charts import incremental_chart, profit_chart, value_chart

EXPLAINED = {
    "base": 0.04,
    "score": 0.055,
    "contributions": [
        {"feature": "recency", "value": 3.0, "contribution": 0.02},
        {"feature": "history", "value": None, "contribution": -0.005},
        {"feature": "newbie", "value": 1.0, "contribution": 0.0},
    ],
}


def bars(explanation: dict) -> pd.DataFrame:
    return contributions_chart(explanation, binary=True).data


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.001, 0.002, "beats random targeting"),
        (-0.001, 0.002, "cannot be told from random targeting"),
        (0.0, 0.002, "cannot be told from random targeting"),
        (-0.002, -0.001, "is worse than random targeting"),
    ],
)
def test_random_targeting_is_beaten_by_more_than_chance_only(low: float, high: float, word: str) -> None:
    assert against_random(low, high) == word
    curve = pd.DataFrame(
        {
            "learner": ["s", "s", "response", "response"],
            "targeted": [0.0, 100.0] * 2,
            "incremental": [0.0, 10.0] * 2,
            "std_error": [0.0, 1.0] * 2,
        }
    )
    assert qini_chart(curve, "s", {"ci_low": low, "ci_high": high}).title.endswith(word)
    rows = pd.DataFrame(
        [
            {"budget": 0.3, "value": 0.1, "random": 0.1, "response": 0.1, "value_ci_low": 0.0,
             "value_ci_high": 0.2, "gain_ci_low": low, "gain_ci_high": high}
        ]
    )  # fmt: skip
    assert value_chart(rows, 0.3, "visit", binary=True).title.endswith(word)


@pytest.mark.parametrize(
    ("std_error", "words"), [(0.001, "gain more than"), (0.1, "are not shown to gain more than")]
)
def test_deciles_differ_by_more_than_chance_or_are_not_shown_to(std_error: float, words: str) -> None:
    rows = pd.DataFrame(
        {
            "decile": range(1, 11),
            "uplift": [0.1 - 0.01 * i for i in range(10)],
            "std_error": [std_error] * 10,
        }
    )
    title = decile_chart(rows, binary=True).title
    assert title.startswith(f"The first three deciles {words} the last three")
    assert "+7.00 pp" in title


def test_the_error_of_the_deciles_difference_is_that_of_two_means_of_three() -> None:
    rows = pd.DataFrame({"decile": range(1, 11), "uplift": [0.0] * 10, "std_error": [0.03] * 10})
    reach = 1.96 * (6 * 0.03**2) ** 0.5 / 3
    assert f"to +{100 * reach:.2f} pp" in decile_chart(rows, binary=True).title


def test_deciles_that_share_clusters_claim_no_more_than_added_errors_allow() -> None:
    rows = pd.DataFrame({"decile": range(1, 11), "uplift": [0.0] * 10, "std_error": [0.03] * 10})
    reach = 1.96 * 6 * 0.03 / 3
    assert f"to +{100 * reach:.2f} pp" in decile_chart(rows, binary=True, clustered=True).title


def test_deciles_without_events_are_not_compared() -> None:
    errors = [0.03] * 9 + [float("nan")]
    rows = pd.DataFrame({"decile": range(1, 11), "uplift": [0.0] * 10, "std_error": errors})
    assert "Too few outcomes" in decile_chart(rows, binary=True).title


@pytest.mark.parametrize(("error", "words"), [(1.0, "add 100"), (90.0, "are not shown to add anything")])
def test_added_outcomes_are_told_with_their_error(error: float, words: str) -> None:
    rows = pd.DataFrame(
        {"budget": [0.3, 1.0], "outcomes": [100.0, 200.0], "outcomes_error": [error, error]}
    )
    title = incremental_chart(rows, 0.3, "visit", binary=True).title
    assert title.startswith(f"The best 30 % {words}")
    assert (
        f"100{'.0' if error == 1 else ''} ± {error:,.{int(error == 1)}f}" in title
    )  # one standard error


def money(**changes: list[float]) -> pd.DataFrame:
    """Three budgets, of which the second earns most, by more than chance."""
    columns = {
        "budget": [0.2, 0.4, 0.8],
        "profit": [50.0, 100.0, 60.0],
        "profit_error": [10.0, 20.0, 30.0],
        "behind": [50.0, 0.0, 40.0],
        "behind_error": [15.0, 0.0, 30.0],
    }
    return pd.DataFrame(columns | changes)


@pytest.mark.parametrize(
    ("chosen", "title"),
    [
        (0, "At 20 %, profit is 50 ± 10: less than at 40 %"),
        (1, "At 40 %, profit is 100 ± 20: the largest, by the estimate"),
        (2, "At 80 %, profit is 60 ± 30: not shown to be less than at 40 %, the best by the estimate"),
    ],
)
def test_the_profit_of_the_chosen_budget_is_told_with_its_error(chosen: int, title: str) -> None:
    rows = money()
    assert profit_chart(rows, rows.iloc[chosen], rows.iloc[1]).title == title


def test_a_profit_within_its_error_is_none() -> None:
    rows = money(profit_error=[60.0, 60.0, 60.0])
    assert profit_chart(rows, rows.iloc[0], rows.iloc[1]).title == "No budget is shown to make a profit"
    rows = money(profit_error=[10.0, 60.0, 60.0])  # the best is not, but another is
    assert "profit is 50" in profit_chart(rows, rows.iloc[0], rows.iloc[1]).title


def marks_of(chart: dict, kind: str) -> list[dict]:
    """All marks of a kind in a chart's specification, with the rows that they show."""
    data = chart["datasets"]
    marks = []

    def walk(part: dict, inherited: dict) -> None:
        rows = part.get("data", inherited)
        for layer in part.get("layer", []):
            walk(layer, rows)
        if "mark" in part and part["mark"]["type"] == kind:
            marks.append(part | {"rows": data[rows["name"]]})

    walk(chart, chart.get("data", {}))
    return marks


def test_the_chosen_budget_and_the_best_one_are_marked_apart_in_words() -> None:
    rows = money()
    chart = profit_chart(rows, rows.iloc[0], rows.iloc[1]).to_dict()
    lines = [m["rows"] for m in marks_of(chart, "rule") if m["mark"].get("strokeDash")]
    assert lines == [[{"budget": 0.2}]]
    (diamond,) = [m["rows"] for m in marks_of(chart, "point") if m["mark"].get("shape") == "diamond"]
    assert (diamond[0]["budget"], diamond[0]["profit"]) == (0.4, 100.0)
    words = {row["label"] for mark in marks_of(chart, "text") for row in mark["rows"]}
    assert words == {"chosen: 20 %", "largest profit: 40 %"}


def test_where_the_chosen_budget_is_the_best_one_mark_says_so() -> None:
    rows = money()
    chart = profit_chart(rows, rows.iloc[1], rows.iloc[1]).to_dict()
    words = {row["label"] for mark in marks_of(chart, "text") for row in mark["rows"]}
    assert words == {"chosen, and largest profit: 40 %"}


def test_profit_has_a_band_of_its_95_percent_interval() -> None:
    rows = money()
    chart = profit_chart(rows, rows.iloc[0], rows.iloc[1]).to_dict()
    (area,) = marks_of(chart, "area")
    assert [round(row["low"], 1) for row in area["rows"]] == [30.4, 60.8, 1.2]
    assert [round(row["high"], 1) for row in area["rows"]] == [69.6, 139.2, 118.8]


def test_users_are_counted_by_what_decides_about_them() -> None:
    counts = pd.DataFrame(
        {
            "decision": ["treat", "no_treat", "explore", "explore", "holdout"],
            "reason": ["within_budget", "beyond_budget", "chance", "chance", "holdout"],
            "users": [1200, 5000, 30, 70, 300],
            "treated": [1200, 0, 30, 0, 0],
        }
    )
    title = counts_chart(counts).title
    assert title == "1,200 users are treated for their score, and 30 explorers by chance"
    assert counts_chart(counts[:2]).title == "1,200 users are treated for their score"


def test_bars_lead_from_the_average_to_the_users_effect() -> None:
    frame = bars(EXPLAINED)
    assert list(frame["label"]) == [
        "average effect", "recency = 3", "history = missing", "this user's effect",
    ]  # fmt: skip
    first, *parts, last = frame.itertuples()
    assert (first.start, first.end) == (0.0, EXPLAINED["base"])
    at = first.end
    for part in parts:
        assert part.start == at
        at = part.end
    assert at == pytest.approx(EXPLAINED["score"])
    assert (last.start, last.end) == (0.0, EXPLAINED["score"])


def test_the_many_small_parts_are_one_bar_and_still_add_up() -> None:
    many = [{"feature": f"f{i}", "value": 1.0, "contribution": 0.02 / 2**i} for i in range(20)]
    score = 0.04 + sum(part["contribution"] for part in many)
    frame = bars({"base": 0.04, "score": score, "contributions": many})
    assert frame["label"].iloc[-2] == "12 more features"
    assert frame["end"].iloc[-2] == pytest.approx(score)


def test_one_small_part_is_told_by_its_name() -> None:
    nine = [{"feature": f"f{i}", "value": 1.0, "contribution": 0.02 / 2**i} for i in range(9)]
    score = 0.04 + sum(part["contribution"] for part in nine)
    assert "f8 = 1" in set(bars({"base": 0.04, "score": score, "contributions": nine})["label"])


def test_a_user_like_the_average_has_an_explanation_too() -> None:
    nothing = [{"feature": "recency", "value": 3.0, "contribution": 0.0}]
    chart = contributions_chart({"base": 0.04, "score": 0.04, "contributions": nothing}, binary=True)
    assert "No feature moves" in chart.title
