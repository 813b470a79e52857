"""Who: which users respond, in words that need no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from ui.client import ApiClient
from ui.state import Choice, cached_get, choose_learner, page, warn_of_gate
from ui.tables import show_table
from ui.wording import (
    LEARNERS,
    ONE_ERROR,
    Z95,
    described,
    level,
    percent,
    points,
    segment_in_words,
    sentence,
    with_error,
)

Q_LEVEL = 0.05
AUDIENCES = {  # (baseline, predicted effect) -> its name, and who they are; two and two side by side
    ("low", "high"): ("Persuadables", "do little without the treatment, and are predicted to gain"),
    ("high", "high"): ("Active and persuadable", "do much anyway, and are predicted to gain more"),
    ("low", "low"): ("Lost causes", "do little, and are predicted to gain little"),
    ("high", "low"): ("Sure things", "do much anyway, and are predicted to gain little"),
}
FORMS = {  # form of a rule -> its name, and the language of the code box
    "duckdb": ("DuckDB", "sql"),
    "postgres": ("PostgreSQL", "sql"),
    "bigquery": ("BigQuery", "sql"),
    "snowflake": ("Snowflake", "sql"),
    "json": ("JSON", "json"),
    "python": ("Python", "python"),
}


def show_segments(
    rows: Sequence[Mapping[str, Any]], features: Mapping[str, str], *, binary: bool
) -> None:
    """Tell which groups respond more and less than the rest."""
    st.subheader("Who responds more, who less")
    tested = [row for row in rows if row["q_value"] is not None]
    if not tested:
        st.caption("No group has enough outcomes to be compared with the rest.")
        return
    differing = [row for row in tested if row["q_value"] < Q_LEVEL]
    ways = (("more", [row for row in differing if row["difference"] > 0]),
            ("less", [row for row in differing if row["difference"] < 0]))  # fmt: skip
    for column, (way, some) in zip(st.columns(2, gap="large"), ways, strict=True):
        with column:
            st.markdown(f"**Respond {way} than the rest**")
            st.markdown("\n".join(_lines(some, features, binary=binary)) or "Nobody is shown to.")
    st.caption(
        f"{len(tested)} groups of held-out users were compared, each with all others. p values are "
        f"adjusted (Benjamini and Hochberg): of those named, with q below {Q_LEVEL:g}, about "
        f"{Q_LEVEL:.0%} at most are expected to be false. Groups overlap, and what names a group need "
        f"not be why it differs. {ONE_ERROR}"
    )
    with st.expander("All groups"):
        named = [
            {**row, "group": segment_in_words(row["feature"], row["segment"], features)}
            for row in tested
        ]
        shown = ["group", "n", "effect", "std_error", "difference", "q_value"]
        show_table(named, shown, headings={"n": "users", "difference": "less the rest"}, height=320)


def _lines(rows: Sequence[Mapping[str, Any]], features: Mapping[str, str], *, binary: bool) -> list[str]:
    return [
        f"- {sentence(segment_in_words(row['feature'], row['segment'], features))}: "
        f"{points(row['effect'], binary=binary)} ± {points_error(row['std_error'], binary=binary)} "
        f"({row['n']:,} users; the rest {points(row['effect'] - row['difference'], binary=binary)})"
        for row in sorted(rows, key=lambda row: -abs(row["difference"]))
    ]


def points_error(error: float, *, binary: bool) -> str:
    """Format a standard error as ``points`` formats its figure, without a sign."""
    return points(error, binary=binary).removeprefix("+")


def show_audiences(
    rows: Sequence[Mapping[str, Any]], learner: str, outcome: str, *, binary: bool
) -> None:
    """Show users by what they do anyway and by what they are predicted to gain."""
    st.subheader("Sure things and lost causes")
    if not rows:
        st.caption("The published run did not divide users; the next one does.")
        return
    by_key = {(row["baseline"], row["predicted_effect"]): row for row in rows}
    columns = st.columns(2, gap="medium")
    for place, (key, (name, words)) in enumerate(AUDIENCES.items()):
        if key not in by_key:
            continue
        row = by_key[key]
        with columns[place % 2].container(border=True):
            st.markdown(f"**{name}** · {percent(round(row['share'], 3))} of users, who {words}")
            low, high = (row["effect"] + z * row["std_error"] for z in (-Z95, Z95))
            said = "" if low > 0 or high < 0 else ", which may be none"
            anyway = f"{level(round(row['response'], 4), binary=binary)} {outcome}"
            effect = f"**{points(row['effect'], binary=binary)}**"
            error = points_error(row["std_error"], binary=binary)
            st.markdown(f"Without treatment: {anyway}. Measured effect: {effect} ± {error}{said}.")
            st.caption(
                f"The list takes {row['listed']:.0%} of them, one by the response model "
                f"{row['listed_by_response']:.0%}."
            )
    both = sum(row["share"] * row["listed_by_both"] for row in rows)
    listed = sum(row["share"] * row["listed"] for row in rows)
    if listed:
        st.markdown(
            f"**{both / listed:.0%} of the users whom the {LEARNERS[learner]} lists would be listed by "
            "the response model, too**: it lists those likeliest to act anyway."
        )
    st.caption(
        "Users are divided at the medians of two predictions; effects are measured on held-out users, "
        f"whatever was predicted. Nobody can observe which single user is a sure thing. {ONE_ERROR}"
    )


def show_rules(answer: Mapping[str, Any], leaves: Sequence[Mapping[str, Any]], form: str) -> None:
    """Show the rules in words, what they keep of the scores' gain, and their text."""
    if not answer["rules"]:
        st.caption("None were learned.")
    for rule in answer["rules"]:
        gain = rule["gain"]
        questions = "one question" if rule["depth"] == 1 else f"{rule['depth']} questions"
        st.markdown(f"**With {questions}:** {rule['words']}")
        if gain["gain_over_random"] is not None:
            st.markdown(_gain(gain))
            of_rule = [row for row in leaves if row["depth"] == rule["depth"]]
            show_table(
                of_rule,
                ["segment", "treated", "n", "effect", "std_error"],
                headings={"segment": "group", "n": "users", "treated": "share treated"},
                shares={"treated"},
            )
        with st.expander(f"As {FORMS[form][0]}"):
            st.code(rule["text"], language=FORMS[form][1], wrap_lines=True)
            st.download_button("Download", rule["text"], rule["file"], key=f"download {rule['file']}")
    st.caption(
        "A rule is learned from other users than those who judge it. Where the budget ends within a "
        f"group, chance decides: the text's result is that chance. {ONE_ERROR}"
    )


def _gain(gain: Mapping[str, Any]) -> str:
    """Tell what a rule gains beside the scores."""
    by_rule = with_error(gain["gain_over_random"], gain["gain_std_error"])
    by_score = with_error(gain["learner_gain"], gain["learner_gain_std_error"])
    text = f"Gains {by_rule} per user over random targeting; the scores {by_score}."
    if gain["share"] is not None:
        text += f" That is {gain['share']:.0%} ± {gain['share_std_error']:.0%} of the scores' gain."
    return f"{text} The difference is {gain['verdict']}."


def show_features(features: Mapping[str, str]) -> None:
    """Say what each feature is."""
    with st.expander("What the features are"):
        rows = [{"feature": name, "is": described(name, features)} for name in features]
        show_table(rows, ["feature", "is"])


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Who")
    learner = choose_learner()
    answer = cached_get(client, choice, "/evidence", arm=choice.arm, learner=learner)
    warn_of_gate(answer["gate"])
    binary = choice.is_binary(answer["outcome"])
    show_segments(answer["segments"], answer["features"], binary=binary)
    show_audiences(answer["audiences"], answer["learner"], answer["outcome"], binary=binary)
    st.subheader("A rule to carry away")
    form = st.segmented_control(
        "Written for", [*FORMS], default="duckdb", format_func=lambda name: FORMS[name][0]
    )
    form = form or "duckdb"
    show_rules(
        cached_get(client, choice, "/rules", arm=choice.arm, form=form), answer["rule_leaves"], form
    )
    show_features(answer["features"])


page(show)
