"""Budget sweep: the value of each budget, measured on held-out users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from ui.arm_charts import choice_chart, nearest, shares_chart
from ui.charts import against_random
from ui.charts import show as show_chart
from ui.client import ApiClient, ApiRefusedError
from ui.state import Choice, cached_get, forget_when_changed, gate_of, page, persist_choice, widget_key
from ui.sweep_charts import incremental_chart, profit_chart, value_chart
from ui.tables import show_table
from ui.wording import (
    LEARNERS,
    ONE_ERROR,
    Z95,
    added,
    interval,
    mean_of,
    percent,
    points,
    sentence,
    span,
    with_error,
)

MONEY = (0.0, 1e9)  # the API's limits
STEPS = {"cost": 0.1, "value": 1.0}
MAX_USERS = 10**10


def frame(policy: dict[str, Any], *, users: int) -> pd.DataFrame:
    """Make one row per budget: the API's figures, scaled to ``users``, and money."""
    rows = pd.DataFrame(policy["rows"])
    rows["treated"] = (rows["budget"] * users).round()
    rows["outcomes"] = rows["incremental"] * users
    rows["outcomes_error"] = rows["incremental_std_error"] * users
    rows["cost"] = rows["budget"] * users * policy["cost"]
    rows["profit"] = rows["net_value"].astype(float) * users
    rows["profit_error"] = rows["net_std_error"].astype(float) * users
    rows["behind"] = rows["net_behind_best"].astype(float) * users
    rows["behind_error"] = rows["net_behind_best_std_error"].astype(float) * users
    rows["revenue"] = rows["profit"] + rows["cost"]
    rows["random"] = rows["value"] - rows["gain_over_random"]
    rows["response"] = [row["value"] for row in policy["response_model"]]
    return rows


def finding(at: pd.Series, outcome: str, *, binary: bool) -> str:
    """State the value of the chosen budget in a sentence."""
    word = against_random(at["gain_ci_low"], at["gain_ci_high"])
    gain = interval(at["gain_over_random"], at["gain_ci_low"], at["gain_ci_high"], binary=binary)
    return f"Treating the best {percent(at['budget'])} {word}: {mean_of(outcome, binary=binary)} {gain}."


def users_of(client: ApiClient, choice: Choice, evaluated: int) -> int:
    """Return the number of users of the last list; without a list, of the experiment's two arms."""
    nights = cached_get(client, choice, "/lists")["nights"]
    if nights:
        return int(nights[0]["users"])
    gate = gate_of(client, choice, choice.arm)
    return evaluated + (int(gate["n"]) if gate else 0)


def show_money(rows: pd.DataFrame, at: pd.Series, best_budget: float) -> None:
    """Show profit by budget: at the chosen one and the best one, and whether the two differ."""
    best = rows.loc[rows["budget"] == best_budget].iloc[0]
    near = rows.loc[rows["behind"] <= Z95 * rows["behind_error"], "budget"]
    reach = Z95 * at["profit_error"]
    behind = ""
    if at["behind"]:
        behind = (
            f"On the same users, the chosen budget earns {with_error(at['behind'], at['behind_error'])} "
            "less than that. "
        )
    show_chart(
        profit_chart(rows, at, best),
        f"The dashed line is the chosen budget: profit {with_error(at['profit'], at['profit_error'])} "
        f"({span(at['profit'] - reach, at['profit'] + reach)}). The diamond is the budget of the "
        f"largest profit by the estimate, {percent(best['budget'])}: "
        f"{with_error(best['profit'], best['profit_error'])}, somewhat too high, being the best of 100. "
        f"{behind}Budgets from {percent(near.min())} to {percent(near.max())} may be as good. "
        f"{ONE_ERROR} The band is the 95 % interval at each budget.",
    )


@dataclass(frozen=True)
class Question:
    """The inputs of the page: an outcome, money, a budget, and a number of users."""

    outcome: str
    cost: float
    value: float
    budget: int  # percent
    users: int

    @property
    def in_money(self) -> bool:
        """Whether the profit can be computed."""
        return bool(self.cost and self.value)


def ask(choice: Choice, client: ApiClient) -> tuple[Question, dict[str, Any]]:
    """Show the widgets, whose values are in the address; return them and the API's answer."""
    model, here = choice.model, choice.experiment
    columns, outcomes = st.columns(3), model["outcomes"]
    outcome: str = columns[0].selectbox(
        "Outcome", outcomes, key=widget_key("outcome", model["outcome"], known=outcomes, scope=here)
    )
    forget_when_changed("outcome", outcome, "value")
    persist_choice("outcome", outcome, model["outcome"])
    with columns[1]:
        declared = model["costs"].get(choice.arm)
        help_ = "In money; with a value it gives profit by budget."
        cost = ask_money("cost", "Cost of one treatment", declared, f"{here} {choice.arm}", help_)
    with columns[2]:
        declared = model["values"].get(outcome)
        value = ask_money("value", "Value of one outcome", declared, f"{here} {outcome}", "In money.")
    policy = client.get(
        "/policy/sweep", experiment=here, arm=choice.arm, outcome=outcome, cost=cost, value=value
    )
    left, right = st.columns([2, 1])
    with left:
        budget = st.slider(
            "Budget: share of users who may be treated",
            1,
            100,
            key=widget_key("budget", round(100 * model["budget"]), known=range(1, 101)),
            format="%d %%",
        )
        persist_choice("budget", budget)
    with right:
        users = ask_users(choice, users_of(client, choice, policy["n_evaluated"]))
    return Question(outcome, cost, value, budget, users), policy


def ask_money(name: str, label: str, declared: float | None, scope: str, help_: str) -> float:
    """Show the input of an amount of money; it starts with the declared amount."""
    default = float(declared or 0.0)
    key = widget_key(name, default, within=MONEY, scope=scope)
    amount: float = st.number_input(label, *MONEY, step=STEPS[name], key=key, help=help_)
    persist_choice(name, amount, default)
    return amount


def ask_users(choice: Choice, default: int) -> int:
    """Show the input of the number of users that outcomes and money are scaled to."""
    scope = f"{choice.experiment} {choice.arm}"
    users: int = st.number_input(
        "Users to decide about",
        1,
        MAX_USERS,
        step=1000,
        key=widget_key("users", default, within=(1, MAX_USERS), scope=scope),
        help="Scales outcomes and money. It starts with the number of users of the last list, or else "
        "with the experiment's users with this treatment or none.",
    )
    persist_choice("users", users, default)
    return users


def show_figures(question: Question, at: pd.Series, *, binary: bool, trained: bool) -> None:
    """Show the figures of the chosen budget; ``trained``: whether the fitted outcome is binary."""
    figures = st.container(horizontal=True)  # wraps where there is no room
    figures.metric(
        "Threshold",
        "none" if pd.isna(at["threshold"]) else points(at["threshold"], binary=trained),
        help="The smallest predicted effect that is treated at this budget.",
    )
    figures.metric("Users treated", f"{at['treated']:,.0f}")
    figures.metric(
        sentence(added(question.outcome, binary=binary)),
        with_error(at["outcomes"], at["outcomes_error"]),
        help=f"Over treating nobody. {ONE_ERROR}",
    )
    if question.in_money:
        figures.metric(
            "Profit",
            with_error(at["profit"], at["profit_error"]),
            help=f"Value of the added outcomes less the cost of the treatments. {ONE_ERROR}",
        )


def show_rows(question: Question, rows: pd.DataFrame, *, binary: bool) -> None:
    """Show all budgets as a table, and offer them as a file."""
    columns = ["budget", "threshold", "expected_treat_rate", "value", "random", "response",
               "gain_over_random", "treated", "outcomes", "outcomes_error"]  # fmt: skip
    if question.in_money:
        columns += ["cost", "revenue", "profit", "profit_error"]
    shares = ("value", "random", "response") if binary else ()
    show_table(rows, columns, height=240, shares=shares)
    st.caption(ONE_ERROR)
    st.download_button(
        "Download as CSV", rows[columns].to_csv(index=False), "budget-sweep.csv", "text/csv"
    )


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Budget sweep")
    question, policy = ask(choice, client)
    if not policy["rows"]:
        st.info(
            "This outcome has not been evaluated. Run the experiment again.", icon=":material/hourglass:"
        )
        return
    outcome, budget = question.outcome, question.budget / 100
    rows, binary = frame(policy, users=question.users), choice.is_binary(outcome)
    at = rows.iloc[question.budget - 1]
    st.markdown(f"**{finding(at, outcome, binary=binary)}**")
    # The threshold is an effect on the outcome that the learners were trained on.
    show_figures(question, at, binary=binary, trained=choice.is_binary(choice.model["outcome"]))
    show_chart(
        value_chart(rows, budget, outcome, binary=binary),
        f"{sentence(mean_of(outcome, binary=binary))}, on {policy['n_evaluated']:,} held-out users by "
        f"the {LEARNERS[policy['learner']]}. The band is the 95 % interval at each budget. Where it "
        "lies above the grey line, choosing beats drawing lots; the response model ranks by who would "
        "do it anyway.",
    )
    if question.in_money:
        show_money(rows, at, policy["best_budget"])
    else:
        show_chart(
            incremental_chart(rows, budget, outcome, binary=binary),
            f"A steep start means that few users make most of the effect. {ONE_ERROR} The band is the "
            "95 % interval. Enter a cost and a value to see profit.",
        )
    show_rows(question, rows, binary=binary)
    if len(choice.model["arms"]) > 1:
        show_best_arm(client, choice, question, binary=binary)


def show_best_arm(client: ApiClient, choice: Choice, question: Question, *, binary: bool) -> None:
    """Show how several treatments share the budget, and what choosing each user's adds."""
    st.subheader("The best treatment for each user")
    try:
        answer = cached_get(client, choice, "/policy/arms", outcome=question.outcome)
    except ApiRefusedError as error:
        st.caption(f"Not known: {error}")
        return
    if not answer["rows"]:
        st.caption("This outcome has not been evaluated over several treatments.")
        return
    budget = question.budget / 100
    at = nearest(answer, budget)
    alone = f"'{at['decider']}' decides alone"
    decides = {"multi_arm": "each user's treatment is chosen", "nobody": "nobody is treated"}
    proven = "shown" if at["word"] == "passed" else "not shown"
    st.markdown(
        f"With `arm = best`, at this budget **{decides.get(at['decider'], alone)}**: on train users, "
        f"choosing is {proven} to beat every single treatment."
    )
    left, right = st.columns(2, gap="large")
    with left:
        show_chart(
            shares_chart(answer, budget),
            "If each user's treatment is chosen: the one with the most effect for its cost comes first; "
            "with a larger budget users move on to dearer ones. A budget is cost per user over the "
            "dearest treatment's.",
        )
    with right:
        show_chart(
            choice_chart(answer, budget, question.outcome, binary=binary),
            f"On {answer['n']:,} held-out users, against the single treatment that gains most on them. "
            "The band is the 95 % interval at each budget.",
        )


page(show)
