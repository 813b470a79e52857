"""Charts: colour-blind-safe (Okabe & Ito), readable on light and dark.

Titles say the finding, and no more than the 95 % intervals bear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from ui.wording import Z95, added, interval, mean_of, percent, points

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#8a8a8a"
HEIGHT, LEGEND = 360, 40  # pixels; a legend of several lines takes from a chart's height
ROOM = 0.2  # of the width, for figures beside bars
MOST_BARS = 8  # parts of an effect that are drawn by themselves


def show(chart: alt.Chart | alt.LayerChart, caption: str) -> None:
    """A chart under its finding, and how to read it; text outside of it wraps on narrow screens."""
    title = str(chart.title).replace(" %", "\N{NO-BREAK SPACE}%")
    st.markdown(f"**{title}**")
    plain = chart.copy()
    plain.title = alt.Undefined
    st.altair_chart(plain, width="stretch")
    st.caption(caption)


def _rule(at: float) -> alt.Chart:
    frame = pd.DataFrame({"budget": [at]})
    return alt.Chart(frame).mark_rule(strokeDash=[4, 4], color=GREY).encode(x="budget:Q")


def _budget_axis() -> alt.X:
    return alt.X("budget:Q", title="share of users treated", axis=alt.Axis(format="%"))


def _effect_axis(share: str = "%", *, binary: bool) -> alt.Axis:
    """Of effects: shares where the outcome is binary, else the outcome's own units."""
    return alt.Axis(format=share if binary else ",.3~g")


def against_random(low: float, high: float) -> str:
    """What a 95 % interval of the difference to random targeting allows to say."""
    if low > 0:
        return "beats random targeting"
    if high < 0:
        return "is worse than random targeting"
    return "cannot be told from random targeting"


def value_chart(rows: pd.DataFrame, budget: float, outcome: str, *, binary: bool) -> alt.LayerChart:
    """Policy value by budget with its band, against random targeting and the response model."""
    at = rows.iloc[(rows["budget"] - budget).abs().argmin()]
    word = against_random(at["gain_ci_low"], at["gain_ci_high"])
    names = {"value": "by predicted effect", "random": "at random", "response": "by predicted outcome"}
    lines = rows.melt("budget", list(names), "policy", "mean").replace({"policy": names})
    base = alt.Chart(rows)
    band = base.mark_area(opacity=0.2, color=BLUE).encode(
        x=_budget_axis(), y=alt.Y("value_ci_low:Q", title=""), y2="value_ci_high:Q"
    )
    line = (
        alt.Chart(lines)
        .mark_line(strokeWidth=2)
        .encode(
            x=_budget_axis(),
            y=alt.Y(
                "mean:Q",
                title=mean_of(outcome, binary=binary),
                scale=alt.Scale(zero=False),
                axis=_effect_axis(".1%", binary=binary),
            ),
            color=alt.Color(
                "policy:N",
                title="who is treated",
                scale=alt.Scale(domain=list(names.values()), range=[BLUE, GREY, ORANGE]),
                legend=alt.Legend(orient="bottom", columns=1),  # side by side, narrow screens cut them
            ),
            strokeDash=alt.StrokeDash(
                "policy:N",
                legend=None,
                scale=alt.Scale(domain=list(names.values()), range=[[1, 0], [6, 4], [2, 2]]),
            ),
            tooltip=["policy", alt.Tooltip("budget", format="%"), alt.Tooltip("mean", format=".4f")],
        )
    )
    title = f"At {percent(budget)}, choosing by predicted effect {word}"
    return (band + line + _rule(budget)).properties(title=title, height=HEIGHT + LEGEND)


def incremental_chart(
    rows: pd.DataFrame, budget: float, outcome: str, *, binary: bool
) -> alt.LayerChart:
    """Outcomes over treating nobody, by budget."""
    frame = rows.assign(
        low=rows["outcomes"] - Z95 * rows["outcomes_error"],
        high=rows["outcomes"] + Z95 * rows["outcomes_error"],
    )
    last, at = frame.iloc[-1], frame.iloc[(frame["budget"] - budget).abs().argmin()]
    some, all_ = (f"{r['outcomes']:,.0f} ± {Z95 * r['outcomes_error']:,.0f}" for r in (at, last))
    word = "are not shown to add anything" if at["low"] <= 0 <= at["high"] else "add"
    base = alt.Chart(frame)
    band = base.mark_area(opacity=0.2, color=BLUE).encode(
        x=_budget_axis(), y=alt.Y("low:Q", title=added(outcome, binary=binary)), y2="high:Q"
    )
    line = base.mark_line(color=BLUE).encode(x=_budget_axis(), y="outcomes:Q")
    title = (
        f"The best {percent(budget)} add {some}, treating all {all_}"
        if word == "add"
        else f"The best {percent(budget)} {word}: {some}; treating all adds {all_}"
    )
    return (band + line + _rule(budget)).properties(title=title, height=HEIGHT)


def profit_chart(rows: pd.DataFrame, best: pd.Series, near: pd.DataFrame) -> alt.LayerChart:
    """Profit by budget with its band; ``near`` are the budgets that may be as good as the best."""
    frame = rows.assign(
        low=rows["profit"] - Z95 * rows["profit_error"], high=rows["profit"] + Z95 * rows["profit_error"]
    )
    base = alt.Chart(frame)
    band = base.mark_area(opacity=0.2, color=GREEN).encode(
        x=_budget_axis(), y=alt.Y("low:Q", title="profit, in money"), y2="high:Q"
    )
    line = base.mark_line(color=GREEN).encode(x=_budget_axis(), y="profit:Q")
    low, high = (percent(end) for end in (near["budget"].min(), near["budget"].max()))
    title = (
        f"Treating {low} to {high} may be most profitable; the estimate says {percent(best['budget'])}"
    )
    if best["profit"] <= Z95 * best["profit_error"]:
        title = "No budget is shown to make a profit"
    return (band + line + _rule(float(best["budget"]))).properties(title=title, height=HEIGHT)


def qini_chart(curve: pd.DataFrame, learner: str, area: Mapping[str, float]) -> alt.LayerChart:
    """Incremental outcomes by users targeted, with the random line.

    ``area`` is what lies between the curves, with its interval: the two are of the same users, so that
    the curve's band alone says too little.
    """
    names = {learner: "by predicted effect", "response": "by predicted outcome"}
    frame = curve.assign(
        low=curve["incremental"] - Z95 * curve["std_error"],
        high=curve["incremental"] + Z95 * curve["std_error"],
    ).replace({"learner": names})
    own = frame[frame["learner"] == names[learner]]
    last = own.iloc[-1]
    straight = pd.DataFrame(
        {"targeted": [0.0, last["targeted"]], "incremental": [0.0, last["incremental"]]}
    )
    x = alt.X("targeted:Q", title="users targeted, best first")
    y = alt.Y("incremental:Q", title="outcomes added")
    band = (
        alt.Chart(own)
        .mark_area(opacity=0.2, color=BLUE)
        .encode(x=x, y=alt.Y("low:Q", title=""), y2="high:Q")
    )
    scale = alt.Scale(domain=list(names.values()), range=[BLUE, ORANGE])
    lines = (
        alt.Chart(frame)
        .mark_line()
        .encode(x=x, y=y, color=alt.Color("learner:N", title="ranked", scale=scale,
                                          legend=alt.Legend(orient="bottom")))
    )  # fmt: skip
    random = alt.Chart(straight).mark_line(color=GREY, strokeDash=[4, 4]).encode(x=x, y=y)
    word = against_random(area["ci_low"], area["ci_high"])
    title = f"Over all budgets together, ranking by predicted effect {word}"
    return (band + random + lines).properties(title=title, height=HEIGHT)


def decile_chart(deciles: pd.DataFrame, *, binary: bool) -> alt.LayerChart:
    """Uplift by decile of the score with 95 % intervals."""
    frame = deciles.assign(
        low=deciles["uplift"] - Z95 * deciles["std_error"],
        high=deciles["uplift"] + Z95 * deciles["std_error"],
    )
    x = alt.X("decile:O", title="decile of the score, best first", axis=alt.Axis(labelAngle=0))
    bars = alt.Chart(frame).mark_bar(color=BLUE, opacity=0.8).encode(
        x=x, y=alt.Y("uplift:Q", title="uplift per user", axis=_effect_axis(binary=binary))
    )  # fmt: skip
    rules = alt.Chart(frame).mark_rule(color=GREY, strokeWidth=2).encode(x=x, y="low:Q", y2="high:Q")
    top, bottom = frame.head(3), frame.tail(3)
    apart = top["uplift"].mean() - bottom["uplift"].mean()
    # Deciles share no user: their errors are independent.
    squares = pd.concat([top, bottom])["std_error"].astype(float) ** 2
    reach = Z95 * float(squares.sum(skipna=False) ** 0.5) / len(top)
    figures = interval(apart, apart - reach, apart + reach, binary=binary)
    if reach != reach:  # noqa: PLR0124 - NaN: a decile in which an arm has no outcomes
        title = "Too few outcomes to compare the first three deciles with the last three"
    elif apart - reach > 0:
        title = f"The first three deciles gain more than the last three: {figures}"
    elif apart + reach < 0:
        title = f"The first three deciles gain less than the last three: {figures}"
    else:
        title = f"The first three deciles are not shown to gain more than the last three: {figures}"
    return (bars + rules).properties(title=title, height=HEIGHT)


def calibration_chart(rows: pd.DataFrame, *, binary: bool) -> alt.LayerChart:
    """Measured against predicted effect."""
    inside = int(((rows["ci_low"] <= rows["predicted"]) & (rows["predicted"] <= rows["ci_high"])).sum())
    low, high = (
        f(rows["predicted"].agg(g), rows["effect"].agg(g)) for f, g in ((min, "min"), (max, "max"))
    )
    axis = _effect_axis(binary=binary)
    x = alt.X("predicted:Q", title="predicted effect", axis=axis, scale=alt.Scale(zero=False))
    y = alt.Y("effect:Q", title="measured effect", axis=axis)
    ends = pd.DataFrame({"predicted": [low, high], "effect": [low, high]})
    line = alt.Chart(ends).mark_line(color=GREY, strokeDash=[4, 4]).encode(x=x, y=y)
    rules = (
        alt.Chart(rows).mark_rule(color=BLUE).encode(x=x, y=alt.Y("ci_low:Q", title=""), y2="ci_high:Q")
    )
    points = alt.Chart(rows).mark_point(color=BLUE, filled=True, size=60).encode(x=x, y=y)
    title = f"The 95 % interval of {inside} of {len(rows)} groups holds what was predicted"
    return (line + rules + points).properties(title=title, height=HEIGHT)


def contributions_chart(explanation: dict[str, Any], *, binary: bool) -> alt.LayerChart:
    """From the average effect to one user's, feature by feature: each bar starts where one ended."""
    parts = [
        (f"{part['feature']} = {_value(part['value'])}", part["contribution"])
        for part in explanation["contributions"]
        if part["contribution"] != 0
    ]
    rest = parts[MOST_BARS:]
    if len(rest) > 1:
        parts = [*parts[:MOST_BARS], (f"{len(rest)} more features", sum(part for _, part in rest))]
    at, bars = explanation["base"], [("average effect", 0.0, explanation["base"], "whole")]
    for label, part in parts:
        bars.append((label, at, at + part, "raises" if part > 0 else "lowers"))
        at += part
    # What was added up may differ from the score by float32's rounding.
    bars.append(("this user's effect", 0.0, explanation["score"], "whole"))
    frame = pd.DataFrame(bars, columns=["label", "start", "end", "direction"])
    frame["text"] = [
        points(end - start, binary=binary)
        for start, end in zip(frame["start"], frame["end"], strict=True)
    ]
    frame["edge"] = frame[["start", "end"]].max(axis=1)
    title = (
        f"Mostly, {parts[0][0]} {bars[1][3]} the effect"
        if parts
        else "No feature moves this user's effect away from the average"
    )
    y = alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=170, labelOverlap=False))
    low, high = min(frame[["start", "end"]].min()), max(frame[["start", "end"]].max())
    x = alt.X(
        "start:Q",
        title="effect",
        axis=_effect_axis(".1%", binary=binary),
        scale=alt.Scale(domain=[low, high + ROOM * (high - low)], nice=False),
    )
    names = ["raises", "lowers", "whole"]
    colour = alt.Color(
        "direction:N", scale=alt.Scale(domain=names, range=[BLUE, ORANGE, GREY]), legend=None
    )
    base = alt.Chart(frame).encode(y=y)
    text = base.mark_text(align="left", dx=4, color=GREY).encode(x="edge:Q", text="text:N")
    drawn = base.mark_bar().encode(x=x, x2="end:Q", color=colour) + text
    return drawn.properties(title=title, height=60 + 26 * len(frame))


def _value(value: float | None) -> str:
    return "missing" if value is None else f"{value:g}"


def counts_chart(counts: pd.DataFrame) -> alt.Chart:
    """Users by decision."""
    frame = counts.groupby("decision", as_index=False)["users"].sum()
    names = {"treat": "treat", "no_treat": "don't treat", "explore": "explore"}
    frame["decision"] = [names.get(d, d) for d in frame["decision"]]
    total, treat = frame["users"].sum(), frame.loc[frame["decision"] == "treat", "users"].sum()
    return (
        alt.Chart(frame)
        .mark_bar(color=BLUE)
        .encode(
            x=alt.X("users:Q", title="users"),
            y=alt.Y("decision:N", sort="-x", title=None),
            tooltip=["decision", alt.Tooltip("users", format=",")],
        )
        .properties(title=f"{percent(treat / total)} of users are treated for their score", height=220)
    )
