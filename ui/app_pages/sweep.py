"""Budget sweep: what each budget is worth, by held-out users."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from ui.charts import incremental_chart, profit_chart, value_chart
from ui.charts import show as show_chart
from ui.client import ApiClient
from ui.state import Choice, keep, key_of, page
from ui.wording import LEARNERS, percent, points

Z95 = 1.959963984540054


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
    if at["gain_ci_low"] > 0:
        word = "beats random targeting"
    elif at["gain_ci_high"] < 0:
        word = "is worse than random targeting"
    else:
        word = "cannot be told from random targeting"
    figures = ("gain_over_random", "gain_ci_low", "gain_ci_high")
    gain, low, high = (points(at[name], binary=binary) for name in figures)
    return (
        f"Treating the best {percent(at['budget'])} {word}: {gain} of {outcome} per user "
        f"(95 % interval {low} to {high})."
    )


def show_money(rows: pd.DataFrame) -> None:
    """The budget of largest profit, and how far it can be told from others."""
    best = rows.loc[rows["profit"].idxmax()]
    # Nested lists share their users, so this set is somewhat too wide: cautious, as it should be.
    near = rows[rows["profit"] + Z95 * rows["profit_error"] >= best["profit"]]
    show_chart(
        profit_chart(rows, best),
        f"Profit is largest at {percent(best['budget'])}: {best['profit']:,.0f} ± "
        f"{Z95 * best['profit_error']:,.0f}. Budgets from {percent(near['budget'].min())} to "
        f"{percent(near['budget'].max())} may be as good. The band is 95 %.",
    )


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Budget sweep")
    model = choice.model
    left, middle, right = st.columns(3)
    outcome = left.selectbox(
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
        "Users to decide about", 1, None, 100_000, 1000, help="Scales outcomes and money."
    )
    rows = frame(policy, users=users, cost=cost, value=value)
    at = rows.iloc[budget - 1]
    st.markdown(f"**{finding(at, outcome, binary=choice.is_binary(outcome))}**")
    figures = st.container(horizontal=True)  # wraps where there is no room
    trained = choice.is_binary(model["outcome"])  # the outcome that the threshold is an effect on
    threshold = at["threshold"]
    shown = "none" if pd.isna(threshold) else points(threshold, binary=trained)
    figures.metric("Threshold", shown)
    figures.metric("Users treated", f"{at['treated']:,.0f}")
    figures.metric(
        f"Added: {outcome}", f"{at['outcomes']:,.0f} ± {Z95 * at['outcomes_error']:,.0f}",
        help="Over treating nobody; ± 95 %.",
    )  # fmt: skip
    figures.metric(
        "Profit",
        f"{at['profit']:,.0f}" if cost and value else "\N{EN DASH}",
        help="Value of the added outcomes less the cost; give both above.",
    )
    show_chart(
        value_chart(rows, budget / 100, outcome),
        f"Mean {outcome} per user on {policy['n_evaluated']:,} held-out users by the "
        f"{LEARNERS[policy['learner']]}. The band is 95 %. Where it lies above the grey line, choosing "
        "beats drawing lots; the response model ranks by who would do it anyway.",
    )
    if cost and value:
        show_money(rows)
    else:
        show_chart(
            incremental_chart(rows, budget / 100, outcome),
            "A steep start means that few users make most of the effect. The band is 95 %.",
        )
    table = rows[
        ["budget", "threshold", "expected_treat_rate", "value", "random", "response", "gain_over_random",
         "treated", "outcomes", "outcomes_error", "cost", "revenue", "profit", "profit_error"]
    ]  # fmt: skip
    st.dataframe(table, hide_index=True, height=240)
    st.download_button("Download as CSV", table.to_csv(index=False), "budget-sweep.csv", "text/csv")


page(show)
