"""Realised: what campaigns promised and did, over their measured nights."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ui.charts import show as show_chart
from ui.client import ApiClient
from ui.night_charts import realised_chart
from ui.state import Choice, page, persist_choice, widget_key
from ui.tables import show_table

COMPARISONS = {
    "list": "treated for their score, against the holdout group",
    "explore": "treated by chance, against the holdout group",
    "usual": "treated for their score, against business as usual",
    "choosing": "treated for their score, against those treated by chance",
}
COLUMNS = (
    *("decision_date", "nights", "promised", "agrees", "uplift", "ci_low", "ci_high"),
    *("sequence_low", "sequence_high", "treatments", "n_treated", "n_control"),
)
HEADINGS = {
    "decision_date": "until",
    "uplift": "added per treatment",
    "sequence_low": "on all nights, from",
    "sequence_high": "on all nights, to",
    "treatments": "treatments",
    "n_treated": "users treated",
}
BANDS = (
    "Blue: what was realised until each night. The filled band is the 95 % interval of somebody who "
    "looks at that night alone; the dotted lines hold the truth on all nights at once in 95 % of "
    "campaigns, however often somebody looks. Orange: what held-out users had promised, with its 95 % "
    "interval."
)


def select(label: str, key: str, names: list[str], scope: str) -> str:
    """Let one of several names be chosen; the only one is taken without a question."""
    if len(names) == 1:
        return names[0]
    name: str = st.selectbox(label, names, key=widget_key(key, names[0], known=names, scope=scope))
    persist_choice(key, name, names[0])
    return name


def narrowed(last: pd.Series) -> str:
    """Say how much narrower the models make the interval; empty where they do not."""
    saved = 1 - last["std_error"] / last["unadjusted_std_error"] if last["unadjusted_std_error"] else 0
    if saved < 0.005:  # noqa: PLR2004 - less is not worth a sentence
        return ""
    return (
        f" The models' predictions make intervals {saved:.0%} narrower, as "
        f"{1 / (1 - saved) ** 2 - 1:.0%} more users would."
    )


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Realised")
    rows = pd.DataFrame(client.get("/realised", experiment=choice.experiment)["over_time"])
    if rows.empty:
        st.info(
            "No list has been measured yet. Once outcomes are known, run "
            f"`uplift measure {choice.experiment} outcomes.csv --date YYYY-MM-DD`.",
            icon=":material/hourglass_empty:",
        )
        return
    scope = choice.experiment
    campaign = select("Campaign", "campaign", sorted(rows["campaign"].unique()), scope)
    rows = rows[rows["campaign"] == campaign]
    outcomes = sorted(rows["outcome"].unique(), key=lambda name: name != choice.model["outcome"])
    outcome = select("Outcome", "outcome", outcomes, f"{scope} {campaign}")
    rows = rows[rows["outcome"] == outcome]
    for comparison, words in COMPARISONS.items():
        nights = rows[rows["comparison"] == comparison].reset_index(drop=True)
        if nights.empty:
            continue
        last = nights.iloc[-1]
        st.subheader(words[0].upper() + words[1:])
        if last["agrees"] is not None and not last["agrees"]:
            st.warning(
                "**The promise is not kept**, by more than chance allows.", icon=":material/warning:"
            )
        show_chart(
            realised_chart(nights, binary=choice.is_binary(outcome)),
            f"{BANDS} {int(last['n_treated']):,} users were treated {int(last['treatments']):,} times "
            f"on {int(last['nights']):,} measured nights since {last['first_date']}.{narrowed(last)}",
        )
        with st.expander("Nights"):
            show_table(nights.iloc[::-1], COLUMNS, headings=HEADINGS)


page(show)
