"""Tonight's list: what was last decided, and what came of earlier lists."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ui.charts import counts_chart
from ui.charts import show as show_chart
from ui.client import ApiClient
from ui.state import Choice, page
from ui.wording import percent


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
    night = found["nights"][0]
    st.markdown(
        f"**{night['treated']:,} of {night['users']:,} users are treated** on {night['decision_date']} "
        f"in the campaign '{night['campaign']}'."
    )
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
            counts_chart(pd.DataFrame(found["counts"])),
            "Explorers are treated whatever their score; suppressed users must not be treated.",
        )
    with right:
        st.subheader("Gates")
        for gate in found["gates"]:
            icon = ":green[:material/check:]" if gate["passed"] else ":red[:material/close:]"
            st.markdown(f"{icon} **{gate['gate'].replace('_', ' ')}**: {gate['message']}")
        if night["override"]:
            st.warning(f"Overruled: {night['override']}", icon=":material/gavel:")
    st.subheader("The first of the list")
    st.dataframe(pd.DataFrame(found["best"]), hide_index=True)
    st.subheader("Promised and realised")
    if found["realised"]:
        st.dataframe(pd.DataFrame(found["realised"]).drop(columns=["experiment"]), hide_index=True)
        st.caption("Effect per treated user against the holdout, beside what had been promised.")
    else:
        promised = night["promised"]
        said = (
            ""
            if promised is None
            else f" Promised: {100 * promised:,.2f} of {choice.model['outcome']} per 100 treated users."
        )
        st.caption(
            f"No list has been measured yet.{said} Once outcomes are known, run the job "
            f"`measure_{choice.experiment}` with a file of them."
        )
    st.subheader("Nights")
    st.dataframe(pd.DataFrame(found["nights"]).drop(columns=["experiment"]), hide_index=True)


page(show)
