"""Tonight's list: what was last decided, and what came of earlier lists."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from ui.charts import counts_chart
from ui.charts import show as show_chart
from ui.client import ApiClient
from ui.state import Choice, gate_of, page, warn_of_gate
from ui.tables import show_table
from ui.wording import percent, promise, promise_holds_nothing

# What is promised and whether it was kept comes first: tables are cut on the right.
MEASURED = (
    *("decision_date", "campaign", "outcome", "promised", "agrees", "uplift", "ci_low", "ci_high"),
    *("comparison", "n_treated", "n_control", "mean_treated", "mean_control"),
)
ASKED = (
    *("decision_date", "campaign", "promised", "promised_std_error", "treated", "users"),
    *("realised_rate", "holdout", "suppressed", "explored", "entered", "exited", "budget_kind"),
    *("budget_used", "spent", "override", "arm", "learner", "model_version"),
)


def last_night(nights: list[dict[str, Any]], arm: str) -> dict[str, Any]:
    """Of the newest night's lists, that of the treatment that is looked at, or else the first."""
    newest = [night for night in nights if night["decision_date"] == nights[0]["decision_date"]]
    return next((night for night in newest if night["arm"] == arm), newest[0])


def show_worth(client: ApiClient, choice: Choice, night: dict[str, Any]) -> None:
    """Whether the list is shown to pay off: the gate's word, and the list's own promise."""
    warn_of_gate(gate_of(client, choice, night["arm"], night["learner"]))
    outcome = choice.model["outcome"]
    promised = promise(night, outcome, binary=choice.is_binary(outcome))
    if promise_holds_nothing(night):
        st.warning(
            f"**The promise is not above 0.** {promised} Treating these users may change nothing, or "
            "do harm.",
            icon=":material/warning:",
        )
    elif promised:
        st.caption(promised)


def show_first(choice: Choice, night: dict[str, Any], best: list[dict[str, Any]]) -> None:
    """The head of the list, and where all of it is."""
    st.subheader("The first of the list")
    show_table(best, ["rank", "user_id", "decision", "score", "propensity"])
    st.caption(
        "Users of equal predicted effect follow one another by a draw that is made once for good. The "
        "whole list, who entered and left, and the holdout are files, as CSV and Parquet, that this "
        "manifest names (in another place if UPLIFT_EXPORTS names one):"
    )
    place = f"{choice.experiment}/{night['decision_date']}/{night['campaign']}"
    st.code(f"UPLIFT_HOME/exports/{place}/manifest.json", language=None, wrap_lines=True)


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Tonight's list")
    found = client.get("/lists", experiment=choice.experiment)
    if not found["nights"]:
        st.info(
            "No list has been made yet. Run `make run`, or materialize treat_list.",
            icon=":material/bedtime:",
        )
        return
    night = last_night(found["nights"], choice.arm)
    counts, gates, best = (
        [row for row in found[name] if row["campaign"] == night["campaign"]]
        for name in ("counts", "gates", "best")
    )
    st.markdown(
        f"**{night['treated']:,} of {night['users']:,} users are treated** on {night['decision_date']} "
        f"in the campaign '{night['campaign']}'."
    )
    if night["arm"] != choice.arm:
        st.caption(f"There is no list for '{choice.arm}'; this one is for '{night['arm']}'.")
    show_worth(client, choice, night)
    figures = st.container(horizontal=True)  # wraps where there is no room
    figures.metric("Treated", percent(night["realised_rate"]), help="Share of all users.")
    figures.metric(
        "Held out", f"{night['holdout']:,}", help="Never treated, so that the effect can be measured."
    )
    figures.metric("Entered", f"{night['entered']:,}", help="Treated now and not in the list before.")
    figures.metric("Left", f"{night['exited']:,}", help="Treated in the list before and not now.")
    left, right = st.columns(2, gap="large")
    with left:
        show_chart(
            counts_chart(pd.DataFrame(counts)),
            "Chance decides about explorers, not the score. Who is held out or suppressed must not be "
            "treated.",
        )
    with right:
        st.subheader("Gates")
        for gate in gates:
            icon = ":green[:material/check:]" if gate["passed"] else ":red[:material/close:]"
            st.markdown(f"{icon} **{gate['gate'].replace('_', ' ')}**: {gate['message']}")
        if night["override"]:
            st.warning(f"Overruled: {night['override']}", icon=":material/gavel:")
    show_first(choice, night, best)
    st.subheader("Promised and realised")
    if found["realised"]:
        show_table(found["realised"], MEASURED)
        st.caption("Effect per treated user against the holdout, beside what had been promised.")
    else:
        st.caption(
            "No list has been measured yet. Once outcomes are known, run the job "
            f"`measure_{choice.experiment}` with a file of them."
        )
    st.subheader("Nights")
    show_table(found["nights"], [name for name in ASKED if not idle(name, found["nights"])])
    st.caption("± is one standard error.")


def idle(name: str, nights: list[dict[str, Any]]) -> bool:
    """Whether a column says nothing of any night: no cost is declared, no gate was overruled."""
    return name in {"spent", "override", "suppressed"} and not any(night[name] for night in nights)


page(show)
