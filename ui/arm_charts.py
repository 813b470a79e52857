"""Charts of the budget over several arms: how they share it, and what choosing adds to one for all."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from ui.charts import band, titled
from ui.palette import BLUE, FILL, GREEN, GREY, ORANGE
from ui.sweep_charts import rule_at, tips
from ui.wording import mean_of, percent

COLOURS = [BLUE, ORANGE, GREEN, GREY]


def arm_frame(answer: dict[str, Any]) -> pd.DataFrame:
    """Make one row per budget and arm: the share of users who get the arm."""
    return pd.DataFrame(
        [
            {"budget": row["budget"], "arm": arm, "share": share}
            for row in answer["rows"]
            for arm, share in row["shares"].items()
        ]
    )


def _budget() -> alt.X:
    return alt.X("budget:Q", title="budget", axis=alt.Axis(format="%"))


def shares_chart(answer: dict[str, Any], budget: float) -> alt.LayerChart:
    """Draw the share of users who get each arm, stacked, by budget."""
    at = nearest(answer, budget)
    given = ", ".join(f"{percent(share)} {arm}" for arm, share in at["shares"].items() if share > 0)
    areas = (
        alt.Chart(arm_frame(answer))
        .mark_area(opacity=1 - FILL)
        .encode(
            x=_budget(),
            y=alt.Y("share:Q", title="share of users", stack=True, axis=alt.Axis(format="%")),
            color=alt.Color(
                "arm:N",
                title="treatment",
                sort=answer["arms"],
                scale=alt.Scale(domain=answer["arms"], range=COLOURS[: len(answer["arms"])])
                if len(answer["arms"]) <= len(COLOURS)
                else alt.Scale(domain=answer["arms"]),
                legend=alt.Legend(orient="bottom"),
            ),
            tooltip=[
                "arm:N",
                alt.Tooltip("share:Q", format=".1%"),
                alt.Tooltip("budget:Q", format=".0%"),
            ],
        )
    )
    title = f"At {percent(at['budget'])}: {given or 'nobody gets a treatment'}"
    return titled(areas + rule_at(at["budget"]), title)


def choice_chart(answer: dict[str, Any], budget: float, outcome: str, *, binary: bool) -> alt.LayerChart:
    """Draw what choosing each user's arm adds to the best arm alone, with its 95 % intervals."""
    rows = pd.DataFrame(answer["rows"])
    at, x = nearest(answer, budget), _budget()
    format_ = "+.2%" if binary else "+,.3~g"

    def y(column: str) -> alt.Y:
        title = f"added {mean_of(outcome, binary=binary)}"
        return alt.Y(f"{column}:Q", title=title, axis=alt.Axis(format="+.0%" if binary else "+,.3~g"))

    line = alt.Chart(rows).mark_line(color=BLUE).encode(x=x, y=y("difference"))
    zero = alt.Chart(pd.DataFrame({"difference": [0.0]})).mark_rule(color=GREY)
    tooltips = {
        "budget": ("budget", ".0%"),
        "difference": ("added", format_),
        "difference_ci_low": ("from (95 %)", format_),
        "difference_ci_high": ("to (95 %)", format_),
    }
    edges = band(rows, x, y, ("difference_ci_low", "difference_ci_high"))
    drawn = edges + zero.encode(y=y("difference")) + line + rule_at(at["budget"])
    return titled(drawn + tips(rows, x, y("difference"), tooltips), choice_title(at))


def choice_title(at: dict[str, Any]) -> str:
    """Say whether choosing is shown to add to the best arm alone at a budget, on held-out users."""
    words = "is not shown to differ from"
    if at["difference_ci_low"] > 0:
        words = "beats"
    elif at["difference_ci_high"] < 0:
        words = "is worse than"
    return f"At {percent(at['budget'])}, choosing each user's {words} '{at['best_single']}' for all"


def nearest(answer: dict[str, Any], budget: float) -> dict[str, Any]:
    """Return the row of the evaluated budget that is nearest."""
    row: dict[str, Any] = min(answer["rows"], key=lambda each: abs(each["budget"] - budget))
    return row
