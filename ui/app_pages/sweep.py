"""Budget sweep: what each budget is worth, by held-out users."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from ui.charts import against_random, incremental_chart, profit_chart, value_chart
from ui.charts import show as show_chart
from ui.client import ApiClient
from ui.state import Choice, gate_of, keep, key_of, page, remembered
from ui.tables import show_table
from ui.wording import LEARNERS, Z95, added, interval, mean_of, percent, points, sentence


def frame(policy: dict[str, Any], *, users: int, cost: float, value: float) -> pd.DataFrame:
    """One row a budget: the API's figures, scaled to ``users``, and money."""
    rows = pd.DataFrame(policy["rows"])
    rows["treated"] = (rows["budget"] * users).round()
    rows["outcomes"] = rows["incremental"] * users
    rows["outcomes_error"] = rows["incremental_std_error"] * users
    rows["cost"] = rows["treated"] * cost
    rows["revenue"] = rows["outcomes"] * value
    rows["profit"] = rows["revenue"] - rows["cost"]
    rows["profit_error"] = rows["outcomes_error"] * value
    rows["random"] = rows["value"] - rows["gain_over_random"]
    rows["response"] = [row["value"] for row in policy["response_model"]]
    return rows


def finding(at: pd.Series, outcome: str, *, binary: bool) -> str:
    """What the budget that is looked at is worth, in a sentence."""
    word = against_random(at["gain_ci_low"], at["gain_ci_high"])
    gain = interval(at["gain_over_random"], at["gain_ci_low"], at["gain_ci_high"], binary=binary)
    return f"Treating the best {percent(at['budget'])} {word}: {mean_of(outcome, binary=binary)} {gain}."


def users_of(client: ApiClient, choice: Choice, evaluated: int) -> int:
    """As many as the last list was about; without one, the experiment's users in the two arms."""
    nights = remembered(client, choice, "/lists")["nights"]
    if nights:
        return int(nights[0]["users"])
    gate = gate_of(client, choice, choice.arm)
    return evaluated + (int(gate["n"]) if gate else 0)


def show_money(rows: pd.DataFrame) -> None:
    """The budget of largest profit, and how far it can be told from others."""
    best = rows.loc[rows["profit"].idxmax()]
    # Nested lists share their users, so this set is somewhat too wide: cautious, as it should be.
    near = rows[rows["profit"] + Z95 * rows["profit_error"] >= best["profit"]]
    show_chart(
        profit_chart(rows, best, near),
        f"Profit is largest at {percent(best['budget'])}: {best['profit']:,.0f} ± "
        f"{Z95 * best['profit_error']:,.0f}. Budgets from {percent(near['budget'].min())} to "
        f"{percent(near['budget'].max())} may be as good. The band is 95 %.",
    )


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Budget sweep")
    model = choice.model
    left, middle, right = st.columns(3)
    outcome: str = left.selectbox(
        "Outcome", model["outcomes"], index=model["outcomes"].index(model["outcome"])
    )
    cost = middle.number_input(
        "Cost of one treatment", 0.0, None, float(model["costs"].get(choice.arm) or 0.0), 0.1,
        help="In money; with a value it gives profit by budget.",
    )  # fmt: skip
    value = right.number_input(
        "Value of one outcome",
        0.0,
        None,
        float(model["values"].get(outcome) or 0.0),
        1.0,
        help="In money.",
    )
    policy = client.get("/policy/sweep", experiment=choice.experiment, arm=choice.arm, outcome=outcome)
    if not policy["rows"]:
        st.info(
            "This outcome has not been evaluated. Run the experiment again.", icon=":material/hourglass:"
        )
        return
    budget = st.slider(
        "Budget: share of users who may be treated",
        1,
        100,
        key=key_of("budget", round(100 * model["budget"]), known=range(1, 101)),
        format="%d %%",
    )
    keep("budget", budget)
    users = st.number_input(
        "Users to decide about",
        1,
        None,
        users_of(client, choice, policy["n_evaluated"]),
        1000,
        help="Scales outcomes and money. At first, as many as the last list was about, or else the "
        "experiment's users with this treatment or none.",
    )
    rows, binary = frame(policy, users=users, cost=cost, value=value), choice.is_binary(outcome)
    at = rows.iloc[budget - 1]
    st.markdown(f"**{finding(at, outcome, binary=binary)}**")
    figures = st.container(horizontal=True)  # wraps where there is no room
    trained = choice.is_binary(model["outcome"])  # the outcome that the threshold is an effect on
    threshold = at["threshold"]
    shown = "none" if pd.isna(threshold) else points(threshold, binary=trained)
    figures.metric("Threshold", shown)
    figures.metric("Users treated", f"{at['treated']:,.0f}")
    figures.metric(
        sentence(added(outcome, binary=binary)),
        f"{at['outcomes']:,.0f} ± {Z95 * at['outcomes_error']:,.0f}",
        help="Over treating nobody; ± 95 %.",
    )
    if cost and value:
        figures.metric(
            "Profit", f"{at['profit']:,.0f}", help="Value of the added outcomes less the cost."
        )
    show_chart(
        value_chart(rows, budget / 100, outcome, binary=binary),
        f"{sentence(mean_of(outcome, binary=binary))}, on {policy['n_evaluated']:,} held-out users by "
        f"the {LEARNERS[policy['learner']]}. The band is 95 %. Where it lies above the grey line, "
        "choosing beats drawing lots; the response model ranks by who would do it anyway.",
    )
    if cost and value:
        show_money(rows)
    else:
        show_chart(
            incremental_chart(rows, budget / 100, outcome, binary=binary),
            "A steep start means that few users make most of the effect. The band is 95 %.",
        )
    columns = ["budget", "threshold", "expected_treat_rate", "value", "random", "response",
               "gain_over_random", "treated", "outcomes", "outcomes_error"]  # fmt: skip
    if cost and value:
        columns += ["cost", "revenue", "profit", "profit_error"]
    table = rows[columns]
    show_table(table, columns, height=240)
    st.caption("± is one standard error.")
    st.download_button("Download as CSV", table.to_csv(index=False), "budget-sweep.csv", "text/csv")


page(show)
