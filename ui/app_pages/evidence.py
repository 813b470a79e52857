"""Evidence: why to believe the scores, or not."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ui.charts import calibration_chart, decile_chart, qini_chart
from ui.charts import show as show_chart
from ui.client import ApiClient
from ui.state import Choice, page
from ui.wording import LEARNERS, percent

WORDS = {"passed": "The gate is open", "inconclusive": "The gate says: inconclusive"}


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Evidence")
    learner = st.selectbox(
        "Model", ["", *LEARNERS], format_func=lambda name: LEARNERS.get(name, "Champion"),
        help="The champion decides every night.",
    )  # fmt: skip
    found = client.get(
        "/evidence", experiment=choice.experiment, arm=choice.arm, learner=learner or None
    )
    gate = found["gate"]
    if gate:
        box = st.success if gate["gate"] == "passed" else st.warning
        needed = gate["needed_users"]
        more = f" About {needed:,} users would settle it." if needed and gate["gate"] != "passed" else ""
        box(f"**{WORDS.get(gate['gate'], gate['gate'])}.** {gate['gate_reason'].rstrip('.')}.{more}")
    name, binary = LEARNERS[found["learner"]], choice.is_binary(found["outcome"])
    show_chart(
        qini_chart(pd.DataFrame(found["qini_curve"]), found["learner"]),
        f"Held-out users, best first by the {name}, and the outcomes that treating them added. "
        "The straight line is random targeting: the further above it, the better. The band is 95 %.",
    )
    left, right = st.columns(2, gap="large")
    deciles = pd.DataFrame(found["deciles"])
    with left:
        show_chart(
            decile_chart(deciles[deciles["learner"] == found["learner"]], binary=binary),
            "Decile 1 has the highest scores. Bars that fall from left to right: the order is right.",
        )
    with right:
        show_chart(
            calibration_chart(pd.DataFrame(found["calibration"]), binary=binary),
            "On the diagonal, users gain what was predicted for them.",
        )
    st.subheader("Against others")
    shown = ["metric", "other", "difference", "ci_low", "ci_high", "verdict"]
    st.dataframe(pd.DataFrame(found["comparisons"])[shown], hide_index=True, height=240)
    st.caption(
        f"The {name} less the other on the same held-out users; inconclusive: the interval holds 0."
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Against econml")
        checks = pd.DataFrame(found["crosscheck"])
        if len(checks):
            wide = checks.assign(check=checks["metric"] + ", tier " + checks["tier"].astype(str))
            st.dataframe(wide.pivot_table(index="learner", columns="check", values="value"))
        st.caption(
            "Tier 1: equal folds and models, largest difference in predicted effects; only rounding "
            "should be left. Tier 2: econml draws its own folds; rank correlation, beside that of our "
            "own other folds."
        )
    with right:
        st.subheader("The evaluator's own proof")
        proof = pd.DataFrame(found["proof"])
        if len(proof):
            held = int(proof["holds"].sum())
            st.markdown(
                f"**{held} of {len(proof)} claims hold** on simulated experiments with known effects."
            )
            st.dataframe(
                proof[["design", "claim", "share", "nominal", "holds"]], hide_index=True, height=240
            )
            low, high = proof["share"].min(), proof["share"].max()
            st.caption(
                f"How often it happened and how often it should: {percent(low)} to {percent(high)}."
            )


page(show)
