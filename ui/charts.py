"""Charts: colour-blind-safe (Okabe & Ito), readable on light and dark, titles that say the finding."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#8a8a8a"
Z95 = 1.959963984540054
HEIGHT = 360


def show(chart: alt.Chart | alt.LayerChart, caption: str) -> None:
    """A chart under its finding, and how to read it; text outside of it wraps on narrow screens."""
    st.markdown(f"**{chart.title}**")
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


def value_chart(rows: pd.DataFrame, budget: float, outcome: str) -> alt.LayerChart:
    """Policy value by budget with its band, against random targeting and the response model."""
    at = rows.iloc[(rows["budget"] - budget).abs().argmin()]
    word = "beats" if at["gain_ci_low"] > 0 else "is not shown to beat"
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
            y=alt.Y("mean:Q", title=f"mean {outcome} per user", scale=alt.Scale(zero=False)),
            color=alt.Color(
                "policy:N",
                title="who is treated",
                scale=alt.Scale(domain=list(names.values()), range=[BLUE, GREY, ORANGE]),
                legend=alt.Legend(orient="bottom"),
            ),
            strokeDash=alt.StrokeDash(
                "policy:N",
                legend=None,
                scale=alt.Scale(domain=list(names.values()), range=[[1, 0], [6, 4], [2, 2]]),
            ),
            tooltip=["policy", alt.Tooltip("budget", format="%"), alt.Tooltip("mean", format=".4f")],
        )
    )
    title = f"At {budget:.0%}, choosing by predicted effect {word} random targeting"
    return (band + line + _rule(budget)).properties(title=title, height=HEIGHT)


def incremental_chart(rows: pd.DataFrame, budget: float, outcome: str) -> alt.LayerChart:
    """Outcomes over treating nobody, by budget."""
    frame = rows.assign(
        low=rows["outcomes"] - Z95 * rows["outcomes_error"],
        high=rows["outcomes"] + Z95 * rows["outcomes_error"],
    )
    last, at = frame["outcomes"].iloc[-1], frame.iloc[(frame["budget"] - budget).abs().argmin()]
    share = (
        f"{at['outcomes'] / last:.0%} of what treating all would add"
        if last > 0
        else "no effect overall"
    )
    base = alt.Chart(frame)
    band = base.mark_area(opacity=0.2, color=BLUE).encode(
        x=_budget_axis(), y=alt.Y("low:Q", title=f"more {outcome}"), y2="high:Q"
    )
    line = base.mark_line(color=BLUE).encode(x=_budget_axis(), y="outcomes:Q")
    title = f"The best {budget:.0%} bring {share}"
    return (band + line + _rule(budget)).properties(title=title, height=HEIGHT)


def profit_chart(rows: pd.DataFrame, best: pd.Series) -> alt.LayerChart:
    """Profit by budget with its band."""
    frame = rows.assign(
        low=rows["profit"] - Z95 * rows["profit_error"], high=rows["profit"] + Z95 * rows["profit_error"]
    )
    base = alt.Chart(frame)
    band = base.mark_area(opacity=0.2, color=GREEN).encode(
        x=_budget_axis(), y=alt.Y("low:Q", title="profit, in money"), y2="high:Q"
    )
    line = base.mark_line(color=GREEN).encode(x=_budget_axis(), y="profit:Q")
    title = f"Profit is largest when {best['budget']:.0%} are treated"
    return (band + line + _rule(float(best["budget"]))).properties(title=title, height=HEIGHT)


def qini_chart(curve: pd.DataFrame, learner: str) -> alt.LayerChart:
    """Incremental outcomes by users targeted, with the random line."""
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
    middle = own.iloc[(own["targeted"] - last["targeted"] / 3).abs().argmin()]
    line = last["incremental"] * middle["targeted"] / last["targeted"]
    word = "above" if middle["incremental"] > line else "not above"
    title = f"After the best third of users, the curve is {word} random targeting"
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
    top, bottom = frame["uplift"].head(3).mean(), frame["uplift"].tail(3).mean()
    first, last = (f"{mean:.1%}" if binary else f"{mean:,.3g}" for mean in (top, bottom))
    title = f"The top three deciles gain {first}, the last three {last}"
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
    title = f"{inside} of {len(rows)} groups gain what was predicted, within 95 %"
    return (line + rules + points).properties(title=title, height=HEIGHT)


def contributions_chart(explanation: dict[str, Any], *, binary: bool) -> alt.Chart:
    """What each feature adds to one user's effect."""
    frame = pd.DataFrame(explanation["contributions"]).head(8)
    frame["label"] = [
        f"{row.feature} = {'missing' if pd.isna(row.value) else f'{row.value:g}'}"
        for row in frame.itertuples()
    ]
    frame["direction"] = ["raises" if c > 0 else "lowers" for c in frame["contribution"]]
    first = frame.iloc[0]
    return (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X(
                "contribution:Q", title="adds to the effect", axis=_effect_axis(".1%", binary=binary)
            ),
            y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=220, labelOverlap=False)),
            color=alt.Color(
                "direction:N",
                scale=alt.Scale(domain=["raises", "lowers"], range=[BLUE, ORANGE]),
                legend=None,
            ),
        )
        .properties(title=f"Mostly, {first['label']} {first['direction']} the effect", height=280)
    )


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
        .properties(title=f"{treat / total:.0%} of users are treated for their score", height=220)
    )
