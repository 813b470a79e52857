"""Score a user: attributes and a budget in, a decision in words out."""

from __future__ import annotations

import streamlit as st

from ui.client import ApiClient, ApiDownError, ApiRefusedError, Decision, JsonValue
from ui.wording import LEARNERS, TREATMENTS, effect, headline, percent, points, reason

EXPERIMENT = "hillstrom"
BOUGHT = {"Women's goods": (0, 1), "Men's goods": (1, 0), "Both": (1, 1)}  # mens, womens
AREAS = {"City": "Urban", "Suburb": "Surburban", "Countryside": "Rural"}  # as the file spells them
CHANNELS = {"Web": "Web", "Phone": "Phone", "Web and phone": "Multichannel"}
PUBLISHED = "Published"


def attribute_form() -> dict[str, JsonValue]:
    """The form of a customer's raw attributes; returns those last sent."""
    with st.form("customer"):
        st.subheader("The customer")
        left, right = st.columns(2)
        recency = left.slider(
            "Months since last purchase", 1, 12, 2, help="Whole months, as the shop counts them."
        )
        history = right.number_input(
            "Spent in the past year ($)", 0.0, 10_000.0, 250.0, 10.0, help="All purchases, in dollars."
        )
        bought = left.selectbox(
            "Bought in the past year", list(BOUGHT), help="Which goods the purchases were."
        )
        channel = right.selectbox(
            "Bought by", list(CHANNELS), help="The channels of the past year's purchases."
        )
        area = left.selectbox("Lives in", list(AREAS), help="The kind of area the zip code lies in.")
        newbie = right.selectbox(
            "Customer since", ["More than a year", "The past year"], help="When the first purchase was."
        )
        st.form_submit_button("Score this customer", type="primary", width="stretch")
    mens, womens = BOUGHT[bought]
    return {
        "recency": recency,
        "history": history,
        "mens": mens,
        "womens": womens,
        "newbie": int(newbie == "The past year"),
        "zip_code": AREAS[area],
        "channel": CHANNELS[channel],
    }


def campaign_controls() -> tuple[float, str, str | None]:
    """Budget as a share, treatment arm and learner (None: the published one)."""
    budget = st.slider(
        "Budget: share of customers who may be treated",
        0,
        100,
        30,
        format="%d %%",
        help="The engine turns it into the least uplift that is worth the treatment, "
        "so that this share of customers reaches it.",
    )
    left, right = st.columns(2)
    arm = left.selectbox("Treatment", list(TREATMENTS), format_func=lambda a: TREATMENTS[a].capitalize())
    learner = right.selectbox(
        "Model",
        [PUBLISHED, *LEARNERS],
        format_func=lambda name: LEARNERS.get(name, name),
        help="'Published' is the learner that decides every night.",
    )
    return budget / 100, arm, None if learner == PUBLISHED else learner


def show_decision(decision: Decision) -> None:
    """The decision, why, and what it rests on."""
    treat = decision.decision == "treat"
    icon = ":material/check_circle:" if treat else ":material/do_not_disturb_on:"
    box = st.success if treat else st.warning
    box(f"### {icon} {headline(decision)}\n\n{effect(decision)} {reason(decision)}")
    uplift, threshold, without = st.columns(3)
    uplift.metric("Uplift", points(decision.score), help="Effect of the treatment on this customer.")
    threshold.metric(
        "Threshold",
        "none" if decision.threshold is None else points(decision.threshold),
        help="Least uplift that is treated at this budget, from held-out customers.",
    )
    without.metric(
        "Without treatment", percent(decision.response), help="Chance of the outcome all the same."
    )
    st.caption(
        f"{LEARNERS.get(decision.learner, decision.learner)} · model {decision.model_version} · "
        f"snapshot {decision.snapshot_id}"
    )


def main() -> None:
    """Lay out the page."""
    st.title("Score a user")
    st.markdown("Would an e-mail change what this customer does, and is that change worth the budget?")
    asked, answered = st.columns(2, gap="large")
    with asked:
        attributes = attribute_form()
    with answered:
        with st.container(border=True):
            st.subheader("The campaign")
            budget, arm, learner = campaign_controls()
        client = ApiClient.from_environment()
        try:
            decision = client.score(
                experiment=EXPERIMENT, attributes=attributes, budget=budget, arm=arm, learner=learner
            )
        except ApiDownError as error:
            st.error(
                f"{error}\n\nStart it with `make serve`, or set `UPLIFT_API_URL` to where it runs.",
                icon=":material/cloud_off:",
            )
        except ApiRefusedError as error:
            st.error(f"The API gave no decision: {error}", icon=":material/error:")
        else:
            show_decision(decision)


main()
