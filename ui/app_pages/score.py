"""Score a user: enter attributes or an id, and a budget; get a decision in words."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from ui.charts import contributions_chart
from ui.charts import show as show_chart
from ui.client import ApiClient, ApiRefusedError, Decision, JsonValue
from ui.decisions import headline, is_to_be_treated, why
from ui.state import Choice, choose_learner, gate_of, page, persist_choice, warn_of_gate, widget_key
from ui.tables import show_table
from ui.wording import (
    LEARNERS,
    best_arm,
    effect,
    level,
    points,
    reason,
    standing,
)

MAX_SLIDER = 30  # largest range of a whole number that is shown as a slider


def attribute_form(features: dict[str, Any]) -> dict[str, JsonValue]:
    """Show a form of the raw attributes, made from their contract; return the values last submitted."""
    help_ = {feature["name"]: feature["description"] for feature in features["features"]}
    values: dict[str, JsonValue] = {}
    with st.form("attributes"):
        columns = st.columns(2)
        for i, column in enumerate(features["attributes"]):
            name = f"{column['table']}.{column['name']}" if column["table"] else column["name"]
            with columns[i % 2]:
                values[name] = _field(column, features["example"][name], help_.get(name))
        st.form_submit_button("Score this user", type="primary", width="stretch")
    return values


def _field(column: dict[str, Any], example: Any, help_: str | None) -> JsonValue:
    label = column["name"].replace("_", " ").capitalize()
    if column["levels"] is not None:
        levels = column["levels"]
        level: JsonValue = st.selectbox(label, levels, index=levels.index(example), help=help_)
        return level
    if column["type"] in {"VARCHAR", "DATE", "TIMESTAMP"}:
        return st.text_input(label, str(example), help=help_)
    if column["type"] == "BOOLEAN":
        return st.toggle(label, bool(example), help=help_)
    return _number(label, column, example, help_)


def _number(label: str, column: dict[str, Any], example: Any, help_: str | None) -> JsonValue:
    low, high = column["low"], column["high"]
    if "INT" not in column["type"]:
        return st.number_input(label, low, high, float(example), format="%.4g", help=help_)
    if (low, high) == (0, 1):
        return int(st.toggle(label, bool(example), help=help_))
    whole = (None if low is None else int(low)), (None if high is None else int(high))
    if low is not None and high - low <= MAX_SLIDER:
        return st.slider(label, *whole, int(example), help=help_)
    return st.number_input(label, *whole, int(example), help=help_)


def show_decision(decision: Decision, *, binary: bool) -> None:
    """Show what to do with this user, why, and the figures behind it."""
    explanation = [effect(decision, binary=binary), reason(decision, binary=binary), standing(decision)]
    text = " ".join([*filter(None, [why(decision)]), *explanation])
    if decision.role in {"holdout", "suppressed"}:
        box, icon = st.info, ":material/front_hand:"
    elif is_to_be_treated(decision):
        box, icon = st.success, ":material/check_circle:"
    else:
        box, icon = st.info, ":material/do_not_disturb_on:"
    box(f"#### {icon} {headline(decision)}\n\n{text}")
    figures = st.container(horizontal=True)  # wraps where there is no room
    figures.metric(
        "Uplift", points(decision.score, binary=binary), help="Effect of the treatment on this user."
    )
    figures.metric(
        "Threshold",
        "none" if decision.threshold is None else points(decision.threshold, binary=binary),
        help="Smallest uplift that is treated at this budget, from held-out users.",
    )
    figures.metric(
        "Without treatment",
        level(decision.response, binary=binary),
        help="Predicted outcome if the user is not treated.",
    )


def show_drivers(client: ApiClient, body: dict[str, Any], *, binary: bool) -> None:
    """Show what each feature adds to the effect."""
    show_chart(
        contributions_chart(client.post("/explain", body), binary=binary),
        "From the average effect, before anything is known about the user, each feature's part leads to "
        "this user's: blue raises it, orange lowers it. Parts of 0 are left out.",
    )


def show_best_arm(client: ApiClient, choice: Choice, body: dict[str, Any]) -> None:
    """Show every treatment for this user, and which one, if any, the best-arm policy gives."""
    try:
        answer = client.post("/score", body | {"arm": "best", "learner": None})
    except ApiRefusedError as error:
        st.caption(f"The best treatment for each user cannot be decided: {error}")
        return
    binary = choice.is_binary(answer["outcome"])
    st.subheader("The best treatment for this user")
    st.markdown(best_arm(answer))
    rows = [
        {
            "arm": each["arm"],
            "effect": points(each["effect"], binary=binary),
            "cost": each["cost"],
            "net value": each["net_value"],
        }
        for each in answer["alternatives"]
    ]
    columns = [c for c in rows[0] if rows[0][c] is not None]
    show_table(rows, columns, headings={"arm": "treatment", "effect": "calibrated effect"})
    with st.expander("Which policy decides, and how that was judged"):
        st.markdown(answer["best_arm"]["reason"])


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Score a user")
    st.markdown("Would the treatment change what this user does, and is that change worth the budget?")
    features = client.get("/features", experiment=choice.experiment)
    question, answered = st.columns([2, 3], gap="large")
    with question:
        by = st.segmented_control("Who?", ["User id", "Attributes"], default="User id")
        if by == "Attributes":
            who: dict[str, Any] = {"attributes": attribute_form(features)}
        else:
            # As text: an id may have too many digits for a browser's numbers.
            text = st.text_input(
                "User id",
                key=widget_key("user", str(features["example_user"]), scope=choice.experiment),
                help="As the file writes it, or the number in the column user_id of the lists.",
            ).strip()
            persist_choice("user", text)
            who = {"user_id": int(text) if text.isdecimal() else text} if text else {}
    if not who:
        answered.info("Enter a user's id.", icon=":material/badge:")
        return
    with answered:
        budget = st.slider(
            "Budget: share of users who may be treated",
            0,
            100,
            key=widget_key("budget", round(100 * choice.model["budget"]), known=range(101)),
            format="%d %%",
            help="It gives the smallest uplift that is treated: this share of users reaches it.",
        )
        persist_choice("budget", budget)
        learner = choose_learner()
        body = {"experiment": choice.experiment, "arm": choice.arm, "budget": budget / 100, **who}
        if learner:
            body["learner"] = learner
        decision = client.score(body)
        binary = choice.is_binary(decision.outcome)
        warn_of_gate(gate_of(client, choice, decision.arm, decision.learner))
        show_decision(decision, binary=binary)
        show_drivers(client, body, binary=binary)
        if len(choice.model["arms"]) > 1:
            show_best_arm(client, choice, body)
        with st.expander("This request as curl"):
            text = json.dumps(body, indent=2)
            st.code(
                f"curl -s {client.url}/score -H 'content-type: application/json' -d '{text}'",
                language="bash",
            )
        st.caption(
            f"{LEARNERS.get(decision.learner, decision.learner)} · model {decision.model_version} · "
            f"snapshot {decision.snapshot_id}" + (" · out of date" if decision.stale else "")
        )


page(show)
