"""Tonight's list: the last decisions, and the measured effects of earlier lists."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import streamlit as st

from ui.charts import counts_chart
from ui.charts import show as show_chart
from ui.client import ApiClient
from ui.state import Choice, choose_arm, gate_of, page, persist_choice, warn_of_gate, widget_key
from ui.tables import show_table
from ui.wording import BY_CHANCE, ONE_ERROR, percent, points, promise, promise_holds_nothing

# The promise and whether it was kept come first: narrow screens cut tables on the right.
MEASURED = (
    *("decision_date", "campaign", "outcome", "promised", "agrees", "uplift", "ci_low", "ci_high"),
    *("comparison", "n_treated", "n_control", "mean_treated", "mean_control"),
)
BEST = "best"  # in place of the arm of a list that chooses each user's
BY_ARM = (
    *("arm", "treated", "explored", "spent", "promised", "promised_std_error", "changed"),
    *("max_users", "max_money"),
)
MEASURED_BY_ARM = (
    *("decision_date", "campaign", "arm", "outcome", "promised", "agrees", "uplift", "ci_low"),
    *("ci_high", "comparison", "n_treated", "n_control"),
)
PLANNED = (
    *("decision_date", "campaign", "promised", "promised_std_error", "treated", "users"),
    *("realised_rate", "holdout", "suppressed", "explored", "entered", "exited", "budget_kind"),
    *("budget_used", "spent", "override", "arm", "learner", "model_version"),
)


def newest(nights: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Select the lists of the newest night."""
    return [night for night in nights if night["decision_date"] == nights[0]["decision_date"]]


def choose_list(choice: Choice, nights: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Choose the newest night's list for the treatment; if there is none, offer the others."""
    lists = newest(nights)
    shown = (choice.arm, BEST)  # a list of the best arm is about every treatment
    campaigns = {night["campaign"]: night for night in lists if night["arm"] in shown}
    if len(campaigns) > 1:
        scope = f"{choice.experiment} {choice.arm}"
        names = list(campaigns)
        name = st.selectbox(
            "Campaign", names, key=widget_key("campaign", names[0], known=names, scope=scope)
        )
        persist_choice("campaign", name, names[0])
        return campaigns[name]
    for night in campaigns.values():
        return night
    st.info(
        f"**There is no list for '{choice.arm}'** on {nights[0]['decision_date']}, the newest night.",
        icon=":material/bedtime:",
    )
    for arm in dict.fromkeys(night["arm"] for night in lists):
        st.button(
            f"Show the list for '{arm}'",
            icon=":material/checklist:",
            on_click=choose_arm,
            args=(choice.experiment, arm),
        )
    return None


def show_worth(client: ApiClient, choice: Choice, night: dict[str, Any]) -> None:
    """Show whether the list pays off: the result of the learner's gate, and the promise of the list."""
    if night["chosen_by"] == "chance":
        st.info(BY_CHANCE, icon=":material/casino:")
    if night["arm"] != BEST:  # the check `evidence` has the verdict on the choice among arms
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
    """Show the first users of the list, and where its files are."""
    st.subheader("The first of the list")
    binary = choice.is_binary(choice.model["outcome"])
    if night["arm"] == BEST:  # the score is an effect per cost, not an effect
        best = [row | {"effect per cost": row["score"]} for row in best]
        show_table(best, ["rank", "user_id", "arm", "decision", "effect per cost", "propensity"])
    else:
        best = [row | {"score": points(row["score"], binary=binary)} for row in best]
        show_table(best, ["rank", "user_id", "decision", "score", "propensity"])
    st.caption(
        "Users with equal predicted effects are ordered by a draw that is made once for good. The file "
        "`treat.csv` says whom to treat: these users, and explorers who drew the treatment. This "
        "manifest names it first, then the decision about every user (`decisions.csv`), who entered "
        "and left, and the holdout group of the list, each as Parquet, too (in another place if "
        "UPLIFT_EXPORTS names one):"
    )
    place = f"{choice.experiment}/{night['decision_date']}/{night['campaign']}"
    st.code(f"UPLIFT_HOME/exports/{place}/manifest.json", language=None, wrap_lines=True)


def show_night(client: ApiClient, choice: Choice, answer: dict[str, Any], night: dict[str, Any]) -> None:
    """Show one list: its size, whether it pays off, and the checks of the night."""
    counts, gates, best, arms = (
        [row for row in answer[name] if row["campaign"] == night["campaign"]]
        for name in ("counts", "gates", "best", "arms")
    )
    st.markdown(
        f"**{night['treated']:,} of {night['users']:,} users are treated** on {night['decision_date']} "
        f"in the campaign '{night['campaign']}'."
    )
    old = (datetime.now(UTC).date() - date.fromisoformat(night["decision_date"])).days
    if old > 1:
        st.warning(f"This list is {old} days old; none has been made since.", icon=":material/schedule:")
    show_worth(client, choice, night)
    figures = st.container(horizontal=True)  # wraps where there is no room
    figures.metric("Treated", percent(night["realised_rate"]), help="Share of all users.")
    figures.metric(
        "Held out",
        f"{night['holdout']:,}",
        help="The holdout group of the list: never treated, so that the effect can be measured.",
    )
    if night["previous_date"]:
        since = f"the list of {night['previous_date']}"
        figures.metric("Entered", f"{night['entered']:,}", help=f"Treated now and not in {since}.")
        figures.metric("Left", f"{night['exited']:,}", help=f"Treated in {since} and not now.")
    left, right = st.columns(2, gap="large")
    with left:
        show_chart(
            counts_chart(pd.DataFrame(counts)),
            "Chance decides about explorers, and the old rule about users who are treated as usual. "
            "Users who are held out or suppressed must not be treated.",
        )
    with right:
        st.subheader("Checks of the night", help="A list that fails one is written only with a reason.")
        for gate in gates:
            icon = ":green[:material/check:]" if gate["passed"] else ":red[:material/close:]"
            st.markdown(f"{icon} **{gate['gate'].replace('_', ' ')}**: {gate['message']}")
        if night["override"]:
            st.warning(f"Overruled: {night['override']}", icon=":material/gavel:")
    show_arms(night, arms)
    show_first(choice, night, best)


def show_arms(night: dict[str, Any], arms: list[dict[str, Any]]) -> None:
    """Show what a list that chooses each user's arm gives of every arm."""
    if night["arm"] != BEST or not arms:
        return
    st.subheader("By treatment")
    limits = ("max_users", "max_money")
    columns = [name for name in BY_ARM if name not in limits or any(row[name] for row in arms)]
    show_table(arms, columns)
    changed = f" {night['changed_arm']:,} users have another treatment than before." * bool(
        night["previous_date"] and night["changed_arm"]
    )
    st.caption(
        "Each user has the treatment with the most effect for its cost at this budget. The promise is "
        f"per user who gets the treatment for its effect.{changed} {ONE_ERROR}"
    )


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Tonight's list")
    answer = client.get("/lists", experiment=choice.experiment)
    if not answer["nights"]:
        st.info(
            "No list has been made yet. Run `make run` (or `uplift run`), or materialize treat_list.",
            icon=":material/bedtime:",
        )
        return
    night = choose_list(choice, answer["nights"])
    if night is not None:
        show_night(client, choice, answer, night)
    nights = [row for row in answer["nights"] if row["arm"] in {choice.arm, BEST}]
    campaigns = {row["campaign"] for row in nights}
    st.subheader("Promised and realised")
    realised = [row for row in answer["realised"] if row["campaign"] in campaigns]
    if realised:
        show_table(realised, MEASURED)
        st.caption(
            "Measured effect per treated user against the holdout group, beside the promised effect, in "
            "units of the outcome: for a share, 0.01 is one percentage point."
        )
        if answer["realised_arms"]:
            show_table(answer["realised_arms"], MEASURED_BY_ARM)
            st.caption("The same by treatment, of lists that choose each user's.")
    else:
        st.caption(
            f"No list for '{choice.arm}' has been measured yet. Once outcomes are known, run the job "
            f"`measure_{choice.experiment}` with a file of them."
        )
    if nights:
        st.subheader("Nights")
        show_table(nights, [name for name in PLANNED if not idle(name, nights)])
        st.caption(f"All lists for '{choice.arm}', the newest first. {ONE_ERROR}")


def idle(name: str, nights: list[dict[str, Any]]) -> bool:
    """Whether a column is empty for every night: no cost is declared, no check was overruled."""
    return name in {"spent", "override", "suppressed"} and not any(night[name] for night in nights)


page(show)
