"""Charts of the budget sweep: value, added outcomes and profit by budget, with the chosen one marked.

Titles claim no more than the 95 % intervals show; ± is one standard error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from ui.charts import HEIGHT, Y, against_random, band, titled
from ui.palette import BLUE, GREEN, GREY, ORANGE
from ui.wording import Z95, added, mean_of, percent, with_error

LEGEND = 40  # pixels; a legend of several lines reduces the height of the chart itself
MIDDLE = 0.5  # labels of larger budgets are to the left of their mark
ERROR = "± (one standard error)"


def rule_at(budget: float) -> alt.Chart:
    """Draw a dashed line at a budget."""
    frame = pd.DataFrame({"budget": [budget]})
    rule: alt.Chart = alt.Chart(frame).mark_rule(strokeDash=[4, 4], color=GREY).encode(x="budget:Q")
    return rule


def tips(frame: pd.DataFrame, x: alt.X, y: alt.Y, columns: Mapping[str, tuple[str, str]]) -> alt.Chart:
    """Draw invisible points with tooltips; ``columns`` gives title and format by column.

    A line itself has one tooltip only, that of its first point.
    """
    tooltips = [
        alt.Tooltip(f"{name}:Q", title=title, format=format_)
        for name, (title, format_) in columns.items()
    ]
    points = alt.Chart(frame).mark_point(size=150, opacity=0)
    with_tooltips: alt.Chart = points.encode(x=x, y=y, tooltip=tooltips)
    return with_tooltips


def budget_axis() -> alt.X:
    """Make the axis of budgets."""
    return alt.X("budget:Q", title="share of users treated", axis=alt.Axis(format="%"))


def _level_axis(*, binary: bool) -> alt.Axis:
    """Make an axis of mean outcomes: shares if the outcome is binary."""
    return alt.Axis(format=".1%" if binary else ",.3~g")


def value_chart(rows: pd.DataFrame, budget: float, outcome: str, *, binary: bool) -> alt.LayerChart:
    """Draw the policy value by budget, with random targeting and the response model."""
    at = rows.iloc[(rows["budget"] - budget).abs().argmin()]
    word = against_random(at["gain_ci_low"], at["gain_ci_high"])
    names = {"value": "by predicted effect", "random": "at random", "response": "by predicted outcome"}
    lines = rows.melt("budget", list(names), "policy", "mean").replace({"policy": names})
    x = budget_axis()

    def y(column: str) -> alt.Y:
        return alt.Y(
            f"{column}:Q",
            title=mean_of(outcome, binary=binary),
            scale=alt.Scale(zero=False),
            axis=_level_axis(binary=binary),
        )

    line = (
        alt.Chart(lines)
        .mark_line(strokeWidth=2)
        .encode(
            x=x,
            y=y("mean"),
            color=alt.Color(
                "policy:N",
                title="who is treated",
                scale=alt.Scale(domain=list(names.values()), range=[BLUE, GREY, ORANGE]),
                legend=alt.Legend(orient="bottom", columns=1),  # in one line, narrow screens cut them
            ),
            strokeDash=alt.StrokeDash(
                "policy:N",
                legend=None,
                scale=alt.Scale(domain=list(names.values()), range=[[1, 0], [6, 4], [2, 2]]),
            ),
        )
    )
    level = ".2%" if binary else ",.4~g"
    ends = {"value_ci_low": ("from (95 %)", level), "value_ci_high": ("to (95 %)", level)}
    tooltips = {"budget": ("share treated", ".0%"), "value": (names["value"], level)} | ends
    tooltips |= {name: (names[name], level) for name in ("random", "response")}
    title = f"At {percent(budget)}, choosing by predicted effect {word}"
    edges = band(rows, x, y, ("value_ci_low", "value_ci_high"))
    drawn = edges + line + rule_at(budget) + tips(rows, x, y("value"), tooltips)
    return titled(drawn, title, HEIGHT + LEGEND)


def incremental_chart(
    rows: pd.DataFrame, budget: float, outcome: str, *, binary: bool
) -> alt.LayerChart:
    """Draw outcomes more than without treatments, by budget."""
    frame = rows.assign(
        low=rows["outcomes"] - Z95 * rows["outcomes_error"],
        high=rows["outcomes"] + Z95 * rows["outcomes_error"],
    )
    last, at = frame.iloc[-1], frame.iloc[(frame["budget"] - budget).abs().argmin()]
    some, all_ = (with_error(r["outcomes"], r["outcomes_error"]) for r in (at, last))
    word = "are not shown to add anything" if at["low"] <= 0 <= at["high"] else "add"
    x = budget_axis()

    def y(column: str) -> alt.Y:
        return alt.Y(f"{column}:Q", title=added(outcome, binary=binary))

    line = alt.Chart(frame).mark_line(color=BLUE).encode(x=x, y=y("outcomes"))
    title = (
        f"The best {percent(budget)} add {some}, treating all {all_}"
        if word == "add"
        else f"The best {percent(budget)} {word}: {some}; treating all adds {all_}"
    )
    tooltips = {
        "budget": ("share treated", ".0%"),
        "outcomes": ("added", ",.4~g"),
        "outcomes_error": (ERROR, ",.4~g"),
        "low": ("from (95 %)", ",.4~g"),
        "high": ("to (95 %)", ",.4~g"),
    }
    edges = band(frame, x, y, ("low", "high"))
    drawn = edges + line + rule_at(budget) + tips(frame, x, y("outcomes"), tooltips)
    return titled(drawn, title)


def profit_title(rows: pd.DataFrame, at: pd.Series, best: pd.Series) -> str:
    """State the chosen budget's profit, and whether another earns more; see ``profit_chart``."""
    if not (rows["profit"] > Z95 * rows["profit_error"]).any():
        return "No budget is shown to make a profit"
    chosen = f"At {percent(at['budget'])}, profit is {with_error(at['profit'], at['profit_error'])}"
    if at["behind"] == 0:
        return f"{chosen}: the largest, by the estimate"
    if at["behind"] > Z95 * at["behind_error"]:
        return f"{chosen}: less than at {percent(best['budget'])}"
    return f"{chosen}: not shown to be less than at {percent(best['budget'])}, the best by the estimate"


def profit_chart(rows: pd.DataFrame, at: pd.Series, best: pd.Series) -> alt.LayerChart:
    """Draw the profit by budget with its band; mark the chosen budget and that of the largest profit.

    Args:
        rows: one per budget: budget, profit, profit_error, and the distance to the best one: behind,
            behind_error.
        at: the row of the chosen budget.
        best: the row of the largest profit.
    """
    frame = rows.assign(
        low=rows["profit"] - Z95 * rows["profit_error"], high=rows["profit"] + Z95 * rows["profit_error"]
    )
    x = budget_axis()

    def y(column: str) -> alt.Y:
        return alt.Y(f"{column}:Q", title="profit, in money")

    line = alt.Chart(frame).mark_line(color=GREEN, strokeWidth=2).encode(x=x, y=y("profit"))
    zero = alt.Chart(pd.DataFrame({"profit": [0.0]})).mark_rule(color=GREY).encode(y=y("profit"))
    tooltips = {
        "budget": ("share treated", ".0%"),
        "profit": ("profit", ",.4~g"),
        "profit_error": (ERROR, ",.4~g"),
        "low": ("from (95 %)", ",.4~g"),
        "high": ("to (95 %)", ",.4~g"),
    }
    same = at["budget"] == best["budget"]
    name = "chosen, and largest profit" if same else "largest profit"
    marks: list[alt.Chart | alt.LayerChart] = [
        _diamond(best, f"{name}: {percent(best['budget'])}", x, y)
    ]
    if not same:
        marks.append(_at_the_foot(at, f"chosen: {percent(at['budget'])}", x))
    edges = band(frame, x, y, ("low", "high"), GREEN)
    points = tips(frame, x, y("profit"), tooltips)
    drawn = alt.LayerChart(layer=[edges, zero, line, rule_at(at["budget"]), *marks, points])
    return titled(drawn, profit_title(rows, at, best))


def _side(budget: float) -> dict[str, Any]:
    """Place a label on the side of its mark where it is not cut."""
    return {"align": "left", "dx": 8} if budget <= MIDDLE else {"align": "right", "dx": -8}


def _diamond(row: pd.Series, label: str, x: alt.X, y: Y) -> alt.LayerChart:
    frame = pd.DataFrame([{"budget": row["budget"], "profit": row["profit"], "label": label}])
    base = alt.Chart(frame).encode(x=x, y=y("profit"))
    mark = base.mark_point(shape="diamond", filled=True, size=140, opacity=1, color=ORANGE)
    text = base.mark_text(dy=-14, fontSize=12, **_side(row["budget"])).encode(text="label:N")
    return alt.LayerChart(layer=[mark, text])


def _at_the_foot(row: pd.Series, label: str, x: alt.X) -> alt.Chart:
    frame = pd.DataFrame([{"budget": row["budget"], "label": label}])
    marks = alt.Chart(frame).mark_text(fontSize=12, **_side(row["budget"]))
    text: alt.Chart = marks.encode(x=x, y=alt.value(HEIGHT - 100), text="label:N")
    return text
