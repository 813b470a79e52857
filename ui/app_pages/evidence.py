"""Evidence: whether the scores can be trusted, and why."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ui.charts import calibration_chart, decile_chart, qini_chart
from ui.charts import show as show_chart
from ui.client import ApiClient
from ui.state import Choice, choose_learner, page
from ui.tables import show_table
from ui.wording import LEARNERS, RANKINGS, claim, gate_reason, metric

WORDS = {
    "passed": "The gate is open",
    "inconclusive": "The gate says: inconclusive",
    "contradicted": "Held-out users contradict the evidence",
}
CHECKS = {
    ("max_abs_difference", 1): "largest difference",
    ("spearman", 2): "ranks, econml's folds",
    ("spearman_own_folds", 2): "ranks, other folds",
}


def show_crosscheck(checks: pd.DataFrame) -> None:
    """Compare the learners with econml's."""
    st.subheader("Against econml")
    if not len(checks):
        st.caption("Not compared for this treatment: a run compares the one that lists are made for.")
        return
    named = checks.assign(
        check=[CHECKS.get(key, key[0]) for key in zip(checks["metric"], checks["tier"], strict=True)],
        learner=checks["learner"].map(lambda key: LEARNERS.get(key, key)),
    )
    wide = named.pivot_table(index="learner", columns="check", values="value", sort=False)
    tiny = CHECKS["max_abs_difference", 1]
    formats = {
        name: st.column_config.NumberColumn(format="%.1e" if name == tiny else "%.4f") for name in wide
    }
    st.dataframe(wide, column_config=formats, placeholder="")
    st.caption(
        "Largest difference in predicted effects, with equal folds and models: only rounding should "
        "be left. Where econml draws its own folds, the ranks of both are correlated, beside those "
        "of our models on other folds."
    )


def show_proof(proof: pd.DataFrame) -> None:
    """Show how often the evaluator's intervals contain a known truth."""
    st.subheader("The evaluator's own proof")
    if len(proof):
        confirmed = int(proof["holds"].sum())
        st.markdown(
            f"**{confirmed} of {len(proof)} claims hold** on simulated experiments with known effects."
        )
        proof["claim"] = proof["claim"].map(claim)
        columns = ["claim", "design", "share", "nominal", "holds"]
        show_table(proof, columns, headings={"design": "in"}, height=240)
        st.caption(
            "A claim holds if it came true as often as it should, up to what chance explains in "
            f"{int(proof['replications'].min()):,} experiments."
        )


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Evidence")
    learner = choose_learner()
    answer = client.get("/evidence", experiment=choice.experiment, arm=choice.arm, learner=learner)
    gate = answer["gate"]
    if gate:
        box = st.success if gate["gate"] == "passed" else st.warning
        box(f"**{WORDS.get(gate['gate'], gate['gate'])}.** {gate_reason(gate)}")
        st.caption(
            "z is a figure divided by its standard error. The users are those of the train split."
        )
    area = next(
        row for row in answer["comparisons"] if (row["metric"], row["other"]) == ("qini", "random")
    )
    name, binary = LEARNERS[answer["learner"]], choice.is_binary(answer["outcome"])
    show_chart(
        qini_chart(pd.DataFrame(answer["qini_curve"]), answer["learner"], area),
        f"Held-out users, best first by the {name}, and the outcomes that treating them added. "
        "The straight line is random targeting: the further above it, the better. The band is the "
        "95 % interval, point by point.",
    )
    left, right = st.columns(2, gap="large")
    deciles = pd.DataFrame(answer["deciles"])
    with left:
        show_chart(
            decile_chart(deciles[deciles["learner"] == answer["learner"]], binary=binary),
            "Decile 1 has the highest scores. Points that fall from left to right: the order is right. "
            "Lines are 95 % intervals.",
        )
    with right:
        show_chart(
            calibration_chart(pd.DataFrame(answer["calibration"]), binary=binary),
            "On the diagonal, users gain what was predicted for them. Lines are 95 % intervals.",
        )
    st.subheader("Against others")
    others = [*("random", "response"), *LEARNERS]  # first those that a learner must beat
    against = [
        row | {"metric": metric(row["metric"]), "other": RANKINGS.get(row["other"], row["other"])}
        for row in sorted(answer["comparisons"], key=lambda row: others.index(row["other"]))
    ]
    shown = ["metric", "other", "verdict", "difference", "ci_low", "ci_high"]
    show_table(against, shown, headings={"metric": "figure", "other": "against"}, height=240)
    st.caption(
        f"The {name} less the other on the same held-out users; inconclusive: the interval holds 0. "
        "AUTOC and the Qini coefficient sum up a whole ranking, AUTOC giving its top more weight."
    )
    show_crosscheck(pd.DataFrame(answer["crosscheck"]))
    show_proof(pd.DataFrame(answer["proof"]))


page(show)
