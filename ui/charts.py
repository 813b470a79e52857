"""Charts. Titles claim no more than the 95 % intervals show; ± is one standard error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from ui.palette import BLUE, FILL, GREY, ORANGE, text_config
from ui.wording import Z95, interval, points

HEIGHT = 360  # pixels
TEXT_SPACE = 0.2  # share of the width for figures beside bars
DECISIONS = {
    "no_treat": "don't treat",
    "holdout": "held out",
    "usual": "as usual",
    "explore_near": "near the cut",
}
MAX_BARS = 8  # parts of an effect with separate bars
POINTS = "format(100 * datum.value, '.3~g') + ' pp'"  # Vega's expression for percentage points
Y = Callable[[str], alt.Y]  # makes the axis for a column; all marks share title, scale and axis


def show(chart: alt.Chart | alt.LayerChart, caption: str) -> None:
    """Show a chart between its title and its caption, which wrap on narrow screens."""
    title = str(chart.title).replace(" %", "\N{NO-BREAK SPACE}%")
    st.markdown(f"**{title}**")
    plain = chart.configure(**text_config())
    plain.title = alt.Undefined
    st.altair_chart(plain, width="stretch")
    st.caption(caption)


def titled(chart: alt.LayerChart, title: str, height: int = HEIGHT) -> alt.LayerChart:
    """Give a chart its finding as the title, and its height in pixels."""
    with_title: alt.LayerChart = chart.properties(title=title, height=height)
    return with_title


def band(
    frame: pd.DataFrame, x: alt.X, y: Y, ends: tuple[str, str], colour: str = BLUE
) -> alt.LayerChart:
    """Draw the area between two columns with its edges: without edges it is too light on white."""
    base = alt.Chart(frame).encode(x=x)
    area = base.mark_area(opacity=FILL, color=colour).encode(y=y(ends[0]), y2=f"{ends[1]}:Q")
    edges = [base.mark_line(strokeWidth=1, color=colour).encode(y=y(end)) for end in ends]
    return alt.LayerChart(layer=[area, *edges])


def effect_axis(*, binary: bool) -> alt.Axis:
    """Make an axis of effects: in percentage points if the outcome is binary, else in its units."""
    return alt.Axis(labelExpr=POINTS) if binary else alt.Axis(format=",.3~g")


def against_random(low: float, high: float) -> str:
    """State what a 95 % interval of the difference to random targeting shows."""
    if low > 0:
        return "beats random targeting"
    if high < 0:
        return "is worse than random targeting"
    return "cannot be told from random targeting"


def qini_chart(
    curve: pd.DataFrame, learner: str, area: Mapping[str, float], whole: Sequence[Mapping[str, Any]] = ()
) -> alt.LayerChart:
    """Draw incremental outcomes by users targeted, with the line of random targeting.

    ``whole`` holds the ends of the band that holds the whole curve, by budget; they are dotted.
    ``area`` is the area between the two, with its interval. Both are about the same users, so the band
    of the curve alone does not show whether they differ.
    """
    names = {learner: "by predicted effect", "response": "by predicted outcome"}
    frame = curve.assign(
        low=curve["incremental"] - Z95 * curve["std_error"],
        high=curve["incremental"] + Z95 * curve["std_error"],
    ).replace({"learner": names})
    ranked = frame[frame["learner"] == names[learner]]
    last = ranked.iloc[-1]
    straight = pd.DataFrame(
        {"targeted": [0.0, last["targeted"]], "incremental": [0.0, last["incremental"]]}
    )
    x = alt.X("targeted:Q", title="users targeted, best first")

    def y(column: str) -> alt.Y:
        return alt.Y(f"{column}:Q", title="outcomes added")

    scale = alt.Scale(domain=list(names.values()), range=[BLUE, ORANGE])
    lines = (
        alt.Chart(frame)
        .mark_line()
        .encode(x=x, y=y("incremental"), color=alt.Color("learner:N", title="ranked", scale=scale,
                                          legend=alt.Legend(orient="bottom")))
    )  # fmt: skip
    random = alt.Chart(straight).mark_line(color=GREY, strokeDash=[4, 4])
    random = random.encode(x=x, y=y("incremental"))
    word = against_random(area["ci_low"], area["ci_high"])
    title = f"Over all budgets together, ranking by predicted effect {word}"
    drawn = band(ranked, x, y, ("low", "high")) + random + lines
    ends = pd.DataFrame(whole, columns=["budget", "band_low", "band_high"])
    dotted = alt.Chart(ends.assign(targeted=ends["budget"] * last["targeted"]))
    for end in ("band_low", "band_high"):
        drawn += dotted.mark_line(color=BLUE, strokeDash=[1, 3]).encode(x=x, y=y(end))
    return titled(drawn, title)


def decile_chart(deciles: pd.DataFrame, *, binary: bool, clustered: bool = False) -> alt.LayerChart:
    """Draw the uplift by decile of the score, with 95 % intervals.

    Deciles have no users in common: their errors are independent. They may have users of one cluster in
    common; where users are in clusters, errors are added, and the title claims too little at most.
    """
    frame = deciles.assign(
        low=deciles["uplift"] - Z95 * deciles["std_error"],
        high=deciles["uplift"] + Z95 * deciles["std_error"],
    )
    x = alt.X("decile:O", title="decile of the score, best first", axis=alt.Axis(labelAngle=0))

    def y(column: str) -> alt.Y:
        return alt.Y(f"{column}:Q", title="uplift per user", axis=effect_axis(binary=binary))

    marks = alt.Chart(frame).mark_point(color=BLUE, filled=True, size=70, opacity=1)
    rules = alt.Chart(frame).mark_rule(color=BLUE, strokeWidth=2).encode(x=x, y=y("low"), y2="high:Q")
    zero = alt.Chart(pd.DataFrame({"uplift": [0.0]})).mark_rule(color=GREY).encode(y=y("uplift"))
    top, bottom = frame.head(3), frame.tail(3)
    difference = top["uplift"].mean() - bottom["uplift"].mean()
    errors = pd.concat([top, bottom])["std_error"].astype(float)
    error = errors.sum(skipna=False) if clustered else (errors**2).sum(skipna=False) ** 0.5
    reach = Z95 * float(error) / len(top)
    figures = interval(difference, difference - reach, difference + reach, binary=binary)
    if reach != reach:  # noqa: PLR0124 - NaN: a decile in which an arm has no outcomes
        title = "Too few outcomes to compare the first three deciles with the last three"
    elif difference - reach > 0:
        title = f"The first three deciles gain more than the last three: {figures}"
    elif difference + reach < 0:
        title = f"The first three deciles gain less than the last three: {figures}"
    else:
        title = f"The first three deciles are not shown to gain more than the last three: {figures}"
    drawn = zero + rules + marks.encode(x=x, y=y("uplift"))
    return titled(drawn, title)


def calibration_chart(rows: pd.DataFrame, *, binary: bool) -> alt.LayerChart:
    """Draw measured against predicted effects."""
    inside = int(((rows["ci_low"] <= rows["predicted"]) & (rows["predicted"] <= rows["ci_high"])).sum())
    low, high = (
        f(rows["predicted"].agg(g), rows["effect"].agg(g)) for f, g in ((min, "min"), (max, "max"))
    )
    axis, wide = effect_axis(binary=binary), alt.Scale(zero=False, padding=12)
    x = alt.X("predicted:Q", title="predicted effect", axis=axis, scale=wide)

    def y(column: str) -> alt.Y:
        return alt.Y(f"{column}:Q", title="measured effect", axis=axis)

    ends = pd.DataFrame({"predicted": [low, high], "effect": [low, high]})
    line = alt.Chart(ends).mark_line(color=GREY, strokeDash=[4, 4]).encode(x=x, y=y("effect"))
    rules = alt.Chart(rows).mark_rule(color=BLUE).encode(x=x, y=y("ci_low"), y2="ci_high:Q")
    marks = alt.Chart(rows).mark_point(color=BLUE, filled=True, size=60, opacity=1)
    title = f"The 95 % interval of {inside} of {len(rows)} groups holds what was predicted"
    drawn = line + rules + marks.encode(x=x, y=y("effect"))
    return titled(drawn, title)


def contributions_chart(explanation: dict[str, Any], *, binary: bool) -> alt.LayerChart:
    """Draw the way from the average effect to one user's: each bar starts where the last one ended."""
    parts = [
        (f"{part['feature']} = {_value(part['value'])}", part["contribution"])
        for part in explanation["contributions"]
        if part["contribution"] != 0
    ]
    rest = parts[MAX_BARS:]
    if len(rest) > 1:
        parts = [*parts[:MAX_BARS], (f"{len(rest)} more features", sum(part for _, part in rest))]
    at, bars = explanation["base"], [("average effect", 0.0, explanation["base"], "whole")]
    for label, part in parts:
        bars.append((label, at, at + part, "raises" if part > 0 else "lowers"))
        at += part
    # The sum of the parts may differ from the score by float32's rounding.
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
        axis=effect_axis(binary=binary),
        scale=alt.Scale(domain=[low, high + TEXT_SPACE * (high - low)], nice=False),
    )
    names = ["raises", "lowers", "whole"]
    colour = alt.Color(
        "direction:N", scale=alt.Scale(domain=names, range=[BLUE, ORANGE, GREY]), legend=None
    )
    base = alt.Chart(frame).encode(y=y)
    text = base.mark_text(align="left", dx=4).encode(x="edge:Q", text="text:N")
    drawn = base.mark_bar(opacity=1).encode(x=x, x2="end:Q", color=colour) + text
    return titled(drawn, title, 60 + 26 * len(frame))


def _value(value: float | None) -> str:
    return "missing" if value is None else f"{value:g}"


def counts_chart(counts: pd.DataFrame) -> alt.LayerChart:
    """Draw the number of users by decision."""
    frame = counts.groupby("decision", as_index=False)[["users", "treated"]].sum()
    users = dict(zip(frame["decision"], frame["users"], strict=True))
    explored = int(frame.loc[frame["decision"] == "explore", "treated"].sum())
    frame["decision"] = frame["decision"].replace(DECISIONS)
    base = alt.Chart(frame).encode(y=alt.Y("decision:N", sort="-x", title=None))
    most = float(frame["users"].max())
    x = alt.X("users:Q", title="users", scale=alt.Scale(domain=[0, most * (1 + TEXT_SPACE)], nice=False))
    text = base.mark_text(align="left", dx=4).encode(x=x, text=alt.Text("users:Q", format=","))
    title = f"{users.get('treat', 0):,} users are treated for their score"
    if explored:
        title += f", and {explored:,} explorers by chance"
    drawn = base.mark_bar(color=BLUE, opacity=1).encode(x=x) + text
    return titled(drawn, title, 220)
