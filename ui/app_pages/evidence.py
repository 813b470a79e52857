"""Evidence: whether the scores can be trusted, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from ui.charts import calibration_chart, decile_chart, qini_chart
from ui.charts import show as show_chart
from ui.client import ApiClient
from ui.state import Choice, choose_learner, page
from ui.tables import show_table
from ui.wording import (
    LEARNERS,
    RANKINGS,
    Z95,
    claim,
    gate_reason,
    interval,
    metric,
    percent,
)

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


LEAST_CLUSTERS = 40  # with fewer, the API calls intervals unreliable


def show_placebo(rows: Sequence[Mapping[str, Any]]) -> None:
    """Tell how the champion's z compares with those of permuted arms, if the run permuted them."""
    drawn = next((row for row in rows if row["run"] == 0), None)
    if drawn:
        st.caption(
            f"With the arms permuted {len(rows) - 1:,} times, the best learner looks at least as good "
            f"in a share of {drawn['p_value']:.3g} (p value of no effect on anyone), and the gate opens "
            f"{sum(row['opens'] for row in rows if row['run']):,} times."
        )


def show_average_effect(rows: Sequence[Mapping[str, Any]], *, binary: bool) -> None:
    """Show the average effect of all users beside that of the held-out ones."""
    by_split = {row["split"]: row for row in rows}
    if not {"all", "holdout"} <= by_split.keys():
        return
    everybody, held_out = by_split["all"], by_split["holdout"]
    st.subheader("Average effect")
    said = [
        f"{interval(row['effect'], row['ci_low'], row['ci_high'], binary=binary)} per user of {who}"
        for row, who in (
            (everybody, f"all {counted(everybody)}"),
            (held_out, f"the {counted(held_out, 'held-out ')}"),
        )
    ]
    st.markdown(f"{said[0]}; {said[1]}. It is the difference in means and needs no model.")
    if held_out["unreliable"]:
        st.warning(
            f"**Intervals of this outcome are unreliable.** {unreliable_because(held_out)}: "
            "intervals hold the truth less often than they say."
        )
    for row, who in ((everybody, "all users"), (held_out, "the held-out ones")):
        if row.get("capped_effect") is not None:
            low, high = (row["capped_effect"] + z * row["capped_std_error"] for z in (-Z95, Z95))
            st.markdown(
                f"With each user's outcome capped at {row['cap_high']:g}, the effect is "
                f"{interval(row['capped_effect'], low, high, binary=binary)} per user of {who}: a few "
                "large values cannot decide it."
            )


def show_complier_effect(rows: Sequence[Mapping[str, Any]], *, binary: bool) -> None:
    """Show the effect of being reached, if the experiment declares whom the treatment reached."""
    everybody = next((row for row in rows if row["split"] == "all"), None)
    if everybody is None:
        return
    said = (
        f"The treatment reached {percent(everybody['reached_treated'])} of the arm's users and "
        f"{percent(everybody['reached_control'])} of the control's. "
    )
    if everybody["effect"] is None:
        said += "That differs too little to tell the effect of being reached."
    else:
        ends = (everybody[name] for name in ("effect", "ci_low", "ci_high"))
        said += (
            f"On users whom the assignment reaches, the effect is {interval(*ends, binary=binary)}. "
            "All other figures are effects of the assignment."
        )
    st.markdown(said)


def counted(row: Mapping[str, Any], which: str = "") -> str:
    """Tell the number of users and, if they are in clusters, of clusters."""
    clusters = f" in {row['clusters']:,} clusters" if row.get("clusters") else ""
    return f"{row['n']:,} {which}users{clusters}"


def unreliable_because(row: Mapping[str, Any]) -> str:
    """Tell why intervals of an outcome are too narrow."""
    share = percent(round(row["largest_share"], 2))
    if not row.get("clusters"):
        return f"A single held-out user makes up {share} of its variance in an arm"
    if row["clusters"] < LEAST_CLUSTERS:
        return (
            f"Held-out users are in {row['clusters']} clusters, and with fewer than {LEAST_CLUSTERS} "
            "standard errors are too small"
        )
    return f"A single cluster makes up {share} of the effect's variance"


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
    show_placebo(answer["placebo"])
    area = next(
        row for row in answer["comparisons"] if (row["metric"], row["other"]) == ("qini", "random")
    )
    name, binary = LEARNERS[answer["learner"]], choice.is_binary(answer["outcome"])
    show_chart(
        qini_chart(
            pd.DataFrame(answer["qini_curve"]),
            answer["learner"],
            area,
            [row for row in answer["bands"] if row["curve"] == "qini"],
        ),
        f"Held-out users, best first by the {name}, and the outcomes that treating them added. "
        "The straight line is random targeting: the further above it, the better. The shaded band is "
        "the 95 % interval at each number of users; the dotted lines hold the whole curve with 95 %.",
    )
    left, right = st.columns(2, gap="large")
    deciles = pd.DataFrame(answer["deciles"])
    with left:
        show_chart(
            decile_chart(
                deciles[deciles["learner"] == answer["learner"]],
                binary=binary,
                clustered=any(row.get("clusters") for row in answer["average_effects"]),
            ),
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
        "Each verdict errs in 5 % of cases where nothing differs: of many, some are wrong by chance. "
        "AUTOC and the Qini coefficient sum up a whole ranking, AUTOC giving its top more weight."
    )
    show_average_effect(answer["average_effects"], binary=binary)
    show_complier_effect(answer["complier_effects"], binary=binary)
    st.page_link("app_pages/who.py", label="Who responds, and rules in words", icon=":material/groups:")
    show_crosscheck(pd.DataFrame(answer["crosscheck"]))
    show_proof(pd.DataFrame(answer["proof"]))


page(show)
