"""Every page, with the real API on the Hillstrom run, with none, and with one that comes back."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.serve.support import copy_home, manifest_of, query
from tests.ui.support import PAGES, metrics, real_api, run_page, widget
from ui.client import ApiClient
from ui.wording import ONE_ERROR, points, span, with_error


@pytest.fixture(scope="module")
def served(hillstrom_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(hillstrom_home, tmp_path_factory.mktemp("pages") / "home")


@pytest.fixture(scope="module")
def url(served: Path) -> Iterator[str]:
    with real_api(served) as url:
        yield url


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    monkeypatch.setenv("UPLIFT_API_URL", url)
    st.cache_data.clear()
    return ApiClient(url, 10)


def altered(monkeypatch: pytest.MonkeyPatch, path: str, change: Callable[[Any], None]) -> None:
    """The API's answer at a path is changed before the app sees it."""
    get = ApiClient.get

    def changed(self: ApiClient, requested: str, **query: Any) -> Any:
        answer = get(self, requested, **query)
        if requested == path:
            change(answer)
        return answer

    monkeypatch.setattr(ApiClient, "get", changed)


def warnings(app: AppTest) -> str:
    return " ".join(warning.value for warning in app.warning)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_and_says_what_it_is(client: ApiClient, name: str) -> None:
    app = run_page(name)
    assert app.title[0].value == PAGES[name]
    assert not app.error


def test_a_long_title_is_shown_in_full_beside_the_select_box(client: ApiClient) -> None:
    (model,) = client.get("/models")
    assert any(f"**{model['title']}.**" in caption.value for caption in run_page("score").caption)


@pytest.mark.parametrize("name", PAGES)
def test_without_the_api_every_page_says_what_to_do(
    closed_url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("UPLIFT_API_URL", closed_url)
    app = run_page(name)
    assert f"The API does not answer at {closed_url}" in app.error[0].value
    assert "make serve" in app.error[0].value


def test_a_page_recovers_when_the_api_comes_back(
    served: Path, closed_url: str, client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPLIFT_API_URL", closed_url)
    app = run_page("score")
    assert app.error
    monkeypatch.setenv("UPLIFT_API_URL", client.url)
    widget(app, "button", "Try again").click().run()
    assert not app.error
    assert app.metric


def test_the_budget_moves_threshold_and_decision_as_the_api_says(client: ApiClient) -> None:
    app = run_page("score", user="7")
    seen = set()
    for budget in (1, 30, 60, 100):
        widget(app, "slider", "Budget").set_value(budget).run()
        said = client.post("/score", {"user_id": 7, "arm": "womens", "budget": budget / 100})
        assert metrics(app)["Threshold"] == points(said["threshold"])
        assert metrics(app)["Uplift"] == points(said["score"])
        shown = app.success[0] if said["decision"] == "treat" else app.info[0]
        assert "reat at a budget" in shown.value
        seen.add(said["decision"])
        assert app.query_params["budget"] == str(budget)
    assert seen == {"treat", "no_treat"}


def test_the_form_is_made_of_the_contract_and_scores_what_it_says(client: ApiClient) -> None:
    app = run_page("score")
    app.segmented_control[0].set_value("Attributes").run()
    widget(app, "slider", "Recency").set_value(11)
    widget(app, "number_input", "History").set_value(99.5)
    widget(app, "selectbox", "Channel").set_value("Multichannel")
    widget(app, "selectbox", "Zip code").set_value("Surburban")
    widget(app, "toggle", "Mens").set_value(False)
    widget(app, "toggle", "Womens").set_value(True)
    widget(app, "toggle", "Newbie").set_value(True)
    widget(app, "button", "Score this user").click().run()
    attributes = {
        "recency": 11,
        "history": 99.5,
        "channel": "Multichannel",
        "zip_code": "Surburban",
        "mens": 0,
        "womens": 1,
        "newbie": 1,
    }
    said = client.post("/score", {"attributes": attributes, "budget": 0.3, "arm": "womens"})
    assert metrics(app)["Uplift"] == points(said["score"])
    assert '"channel": "Multichannel"' in app.code[0].value


def test_a_held_out_user_is_told_apart(client: ApiClient, served: Path) -> None:
    held_out = "select min(user_id) as user_id from decisions.treat_list where decision = 'holdout'"
    (row,) = query(served, held_out)
    app = run_page("score", user=str(row["user_id"]), budget="100")
    assert not app.success
    headline, _, rest = app.info[0].value.partition("\n\n")
    assert headline.endswith("Must not be treated: held out")
    assert "held out for good" in rest
    assert "The score alone would say: Treat at a budget of 100 %" in rest


def test_of_an_explorer_it_is_said_that_chance_decides(client: ApiClient, served: Path) -> None:
    drawn = "select min(user_id) as user_id from decisions.treat_list where decision = 'explore'"
    (row,) = query(served, drawn)
    app = run_page("score", user=str(row["user_id"]))
    (text,) = [box.value for box in (*app.success, *app.info)]
    assert "Chance decides about this user" in text
    assert "The score alone would say: " in text


def listed(served: Path, where: str) -> dict[str, Any]:
    (row,) = query(served, f"from decisions.treat_list where {where} order by user_id limit 1")
    return row


def decision_text(app: AppTest) -> tuple[str, str]:
    """The headline and the rest of what is said of a user."""
    (text,) = [box.value for box in (*app.success, *app.info)]
    headline, _, rest = text.partition("\n\n")
    return headline, rest


def test_a_listed_user_below_the_threshold_is_not_said_to_be_left_untreated(
    client: ApiClient, served: Path
) -> None:
    row = listed(served, "decision = 'treat' and score < threshold")
    app = run_page("score", user=str(row["user_id"]))
    headline, rest = decision_text(app)
    place = f"On the list of {row['decision_date']} (place {row['rank']:,}), though below the threshold"
    assert headline.endswith(place)
    assert app.success
    assert "Don't treat" not in headline + rest
    assert "until its exact size is reached" in rest


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (
            "decision = 'treat' and score >= threshold",
            "Treat at a budget of 30 %; the list of {} does so, too",
        ),
        ("decision = 'no_treat'", "Don't treat at a budget of 30 %; the list of {} does not either"),
    ],
)
def test_decision_and_list_are_told_in_one_sentence(
    client: ApiClient, served: Path, where: str, words: str
) -> None:
    row = listed(served, where)
    headline, _ = decision_text(run_page("score", user=str(row["user_id"])))
    assert headline.endswith(f"{words.format(row['decision_date'])} (place {row['rank']:,})")


def test_at_another_budget_the_lists_own_is_told(client: ApiClient, served: Path) -> None:
    row = listed(served, "decision = 'treat' and rank between 15000 and 16000")
    headline, _ = decision_text(run_page("score", user=str(row["user_id"]), budget="10"))
    assert headline.endswith(
        f"Don't treat at a budget of 10 %; the list of {row['decision_date']} at 30 % does "
        f"(place {row['rank']:,})"
    )


@pytest.mark.parametrize("name", ["score", "lists"])
@pytest.mark.parametrize(
    ("word", "needed"), [("inconclusive", 1234567), ("inconclusive", None), ("passed", None)]
)
def test_a_decision_is_not_shown_without_the_gates_word(
    client: ApiClient, monkeypatch: pytest.MonkeyPatch, name: str, word: str, needed: int | None
) -> None:
    altered(
        monkeypatch, "/evidence", lambda answer: answer["gate"].update(gate=word, needed_users=needed)
    )
    app = run_page(name)
    assert ("Not shown to pay off" in warnings(app)) is (word == "inconclusive")
    assert ("1,234,567 users would settle it" in warnings(app)) is (needed is not None)
    said = " ".join(caption.value for caption in app.caption)
    assert ("The gate is open" in said) is (word == "passed")
    assert bool(app.get("page_link")) is (word == "inconclusive")


def test_the_gate_asked_for_is_that_of_the_treatment(client: ApiClient, served: Path) -> None:
    words = query(
        served,
        "select arm, gate from models.registry "
        "where experiment = 'hillstrom' and champion and is_current",
    )
    assert len({row["gate"] for row in words}) > 1, "the arms do not differ: this shows nothing"
    for row in words:
        app = run_page("score", arm=row["arm"])
        assert ("Not shown to pay off" in warnings(app)) is (row["gate"] == "inconclusive")


@pytest.mark.parametrize(
    ("promised", "error", "warned"), [(0.06, 0.01, False), (0.01, 0.02, True), (-0.05, 0.01, True)]
)
def test_a_list_that_promises_nothing_says_so(
    client: ApiClient, monkeypatch: pytest.MonkeyPatch, promised: float, error: float, warned: bool
) -> None:
    altered(
        monkeypatch,
        "/lists",
        lambda answer: answer["nights"][0].update(promised=promised, promised_std_error=error),
    )
    app = run_page("lists")
    assert ("The promise is not above 0" in warnings(app)) is warned
    said = " ".join(text.value for text in [*app.caption, *app.warning])
    assert f"{points(promised)} (95 % interval" in said


def test_an_unknown_user_is_an_answer_in_words(client: ApiClient) -> None:
    app = run_page("score", user="99000000")
    assert "user_id = 99000000: not in the published snapshot" in app.error[0].value


def test_a_shared_address_opens_the_same_sweep(client: ApiClient) -> None:
    app = run_page("score", experiment="hillstrom", arm="mens", budget="45")
    assert widget(app, "selectbox", "Treatment").value == "mens"
    assert widget(app, "slider", "Budget").value == 45


def test_what_was_chosen_holds_on_the_next_page(client: ApiClient) -> None:
    app = run_page("score")
    widget(app, "selectbox", "Treatment").set_value("mens").run()
    widget(app, "slider", "Budget").set_value(12).run()
    app.query_params.clear()  # as following a link to another page does
    app.switch_page("app_pages/sweep.py").run()
    assert widget(app, "selectbox", "Treatment").value == "mens"
    assert widget(app, "slider", "Budget").value == 12


def test_a_sweep_with_money_finds_the_best_budget(client: ApiClient) -> None:
    app = run_page("sweep")
    widget(app, "number_input", "Cost").set_value(0.5)
    widget(app, "number_input", "Value").set_value(12.0).run()
    policy = client.get("/policy/sweep", arm="womens")
    (night,) = client.get("/lists")["nights"]
    profit = [
        night["users"] * (12.0 * row["incremental"] - 0.5 * row["budget"]) for row in policy["rows"]
    ]
    best = profit.index(max(profit)) + 1
    (said,) = [text.value for text in app.caption if "largest profit by the estimate" in text.value]
    assert f"the budget of the largest profit by the estimate, {best} %: {max(profit):,.0f} ±" in said


def test_profit_is_told_with_its_standard_error_and_interval(client: ApiClient) -> None:
    app = run_page("sweep", cost="0.5", value="12.0", budget="40")
    policy = client.get("/policy/sweep", arm="womens", cost=0.5, value=12.0)
    (night,) = client.get("/lists")["nights"]
    row, users = policy["rows"][39], night["users"]
    figure = with_error(users * row["net_value"], users * row["net_std_error"])
    assert metrics(app)["Profit"] == figure
    assert f"**At 40 %, profit is {figure}" in texts(app)
    (said,) = [text.value for text in app.caption if "chosen budget" in text.value]
    assert f"profit {figure} ({span(users * row['net_ci_low'], users * row['net_ci_high'])})" in said
    behind = with_error(users * row["net_behind_best"], users * row["net_behind_best_std_error"])
    assert f"the chosen budget earns {behind} less than that" in said


def test_added_users_are_told_with_one_standard_error(client: ApiClient) -> None:
    app = run_page("sweep", budget="40", users="1000000")
    row = client.get("/policy/sweep", arm="womens")["rows"][39]
    figure = with_error(1e6 * row["incremental"], 1e6 * row["incremental_std_error"])
    assert metrics(app)["Added users with 'visit'"] == figure
    assert f"The best 40 % add {figure}" in texts(app)


def texts(app: AppTest) -> str:
    """All that a page says."""
    kinds = ("markdown", "caption", "info", "success", "warning", "title", "subheader")
    said = [str(element.value) for kind in kinds for element in app.get(kind)]
    said += [f"{metric.label} {metric.value} {metric.help}" for metric in app.metric]
    said += [str(heading) for table in app.dataframe for heading in table.value]
    return "\n".join(said).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_shows_an_error_says_that_it_is_a_standard_error(
    client: ApiClient, name: str
) -> None:
    query = {"cost": "0.5", "value": "12.0"} if name == "sweep" else {}
    said = texts(run_page(name, **query))
    assert name in {"score", "evidence", "realised"} or "±" in said.replace(ONE_ERROR, ""), (
        "this shows nothing"
    )
    assert ("±" in said.replace(ONE_ERROR, "")) <= (ONE_ERROR in said)
    assert not re.search("± ?9|9 ?± ?5|±.{0,3}95", said)
    assert not re.search(r"[Bb]and is 95 %", said)


def test_an_address_holds_all_that_was_entered(client: ApiClient) -> None:
    """Who opens it sees the same page."""
    app = run_page("sweep")
    widget(app, "selectbox", "Outcome").set_value("conversion").run()
    widget(app, "number_input", "Cost").set_value(0.25).run()
    widget(app, "number_input", "Value").set_value(40.0).run()
    widget(app, "number_input", "Users").set_value(12345).run()
    widget(app, "slider", "Budget").set_value(17).run()
    address = {name: _one(str(app.query_params[name])) for name in app.query_params}
    assert {"outcome", "cost", "value", "users", "budget", "arm", "experiment"} <= address.keys()
    opened = run_page("sweep", **address)
    assert metrics(opened) == metrics(app)
    assert metrics(opened)["Profit"]
    assert widget(opened, "number_input", "Cost").value == 0.25
    assert widget(opened, "number_input", "Value").value == 40.0
    assert widget(opened, "number_input", "Users").value == 12345


def _one(value: str) -> str:
    """A parameter of the address as AppTest gives it: a list of one."""
    return value.removeprefix("['").removesuffix("']")


@pytest.mark.parametrize("page", ["score", "evidence"])
def test_an_address_holds_the_learner(client: ApiClient, page: str) -> None:
    app = run_page(page, learner="dr")
    assert widget(app, "selectbox", "Model").value == "dr"
    widget(app, "selectbox", "Model").set_value("t").run()
    assert _one(str(app.query_params["learner"])) == "t"
    widget(app, "selectbox", "Model").set_value("Champion").run()
    assert "learner" not in app.query_params


@pytest.mark.parametrize(
    ("cost", "value", "users", "budget"),
    [("nan", "inf", "0", "0"), ("-1", "x", "-5", "101"), ("1e99", "", "1.5", "x")],
)
def test_an_address_that_says_nonsense_opens_with_what_is_declared(
    client: ApiClient, cost: str, value: str, users: str, budget: str
) -> None:
    app = run_page("sweep", cost=cost, value=value, users=users, budget=budget, outcome="nope")
    assert not app.error
    assert widget(app, "number_input", "Cost").value == 0.0
    assert widget(app, "number_input", "Value").value == 0.0
    assert widget(app, "number_input", "Users").value == 64000
    assert widget(app, "slider", "Budget").value == 30
    assert widget(app, "selectbox", "Outcome").value == "visit"


def test_a_budget_that_one_page_takes_and_another_does_not_breaks_neither(client: ApiClient) -> None:
    app = run_page("score")
    widget(app, "slider", "Budget").set_value(0).run()
    app.switch_page("app_pages/sweep.py").run()
    assert not app.exception
    assert widget(app, "slider", "Budget").value == 30


def test_a_rollback_that_holds_is_shown_on_every_page(
    client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = {"pinned_at": "2026-05-01T03:00:00Z", "made_by": "Ann", "reason": "", "newer_waits": True}

    def roll_back(answer: list[dict[str, Any]]) -> None:
        answer[0]["pinned"] = pin

    altered(monkeypatch, "/models", roll_back)
    for name in ("score", "lists"):
        shown = [warning.value for warning in run_page(name).warning]
        assert (
            "**Rolled back** by Ann on 2026-05-01 03:00 UTC: this stays until it is lifted. "
            "A newer publication waits."
        ) in shown


def test_money_is_that_of_the_treatment_and_the_outcome_it_was_entered_for(
    client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def declare(answer: list[dict[str, Any]]) -> None:
        answer[0]["costs"], answer[0]["values"]["visit"] = {"womens": 0.5, "mens": 0.7}, 12.0

    altered(monkeypatch, "/models", declare)
    app = run_page("sweep")
    assert widget(app, "number_input", "Cost").value == 0.5
    assert "cost" not in app.query_params  # what is declared needs no address
    widget(app, "selectbox", "Treatment").set_value("mens").run()
    assert widget(app, "number_input", "Cost").value == 0.7
    widget(app, "number_input", "Cost").set_value(0.9).run()
    widget(app, "number_input", "Value").set_value(20.0).run()
    widget(app, "selectbox", "Treatment").set_value("womens").run()
    assert widget(app, "number_input", "Cost").value == 0.5
    assert widget(app, "number_input", "Value").value == 20.0  # of the outcome, whatever the treatment
    widget(app, "selectbox", "Outcome").set_value("spend").run()
    assert widget(app, "number_input", "Value").value == 0.0


def test_a_sweep_is_about_as_many_users_as_the_last_list(client: ApiClient) -> None:
    (night,) = client.get("/lists")["nights"]
    assert widget(run_page("sweep"), "number_input", "Users to decide about").value == night["users"]


def test_without_a_list_a_sweep_is_about_the_users_of_the_experiment(
    client: ApiClient, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered(monkeypatch, "/lists", lambda answer: answer.update(nights=[]))
    two = "select count(*) as n from assignment.hillstrom where arm in ('womens', 'none')"
    (row,) = query(served, two)
    assert widget(run_page("sweep"), "number_input", "Users to decide about").value == row["n"]


def test_without_cost_and_value_a_sweep_has_no_columns_of_zeros(client: ApiClient) -> None:
    app = run_page("sweep")
    assert not {"cost", "revenue", "profit"} & set(app.dataframe[0].value)
    assert "Profit" not in metrics(app)
    widget(app, "number_input", "Cost").set_value(0.5)
    widget(app, "number_input", "Value").set_value(12.0).run()
    assert {"cost", "revenue", "profit"} < set(app.dataframe[0].value)


def test_the_gates_word_is_in_plain_language(client: ApiClient, served: Path) -> None:
    app = run_page("evidence")
    (row,) = query(
        served, "select gate from models.registry where arm = 'womens' and champion and is_current"
    )
    box = app.success if row["gate"] == "passed" else app.warning
    assert "gate" in box[0].value
    assert not re.search("'(s|t|x|r|dr)'", box[0].value)
    assert "claims hold" in " ".join(text.value for text in app.markdown)


def test_tonights_list_counts_as_the_snapshot_does(
    client: ApiClient, served: Path, hillstrom_home: Path
) -> None:
    app = run_page("lists")
    (row,) = query(served, "from decisions.nights")
    assert metrics(app)["Held out"] == f"{row['holdout']:,}"
    assert f"**{row['treated']:,} of {row['users']:,} users are treated**" in app.markdown[0].value
    place = f"exports/hillstrom/{row['decision_date']}/{row['campaign']}/manifest.json"
    assert place in app.code[0].value
    assert (hillstrom_home / place).is_file()
    assert any("The file `treat.csv` says whom to treat" in text.value for text in app.caption)


def test_a_treatment_without_a_list_says_so_and_offers_the_others(client: ApiClient) -> None:
    (night,) = client.get("/lists")["nights"]
    app = run_page("lists", arm="mens")
    assert f"There is no list for 'mens'** on {night['decision_date']}" in app.info[0].value
    said = texts(app)
    assert not app.metric
    assert not app.dataframe, "no row of another treatment's list may be shown"
    assert f"{night['treated']:,}" not in said
    widget(app, "button", "Show the list for 'womens'").click().run()
    assert widget(app, "selectbox", "Treatment").value == "womens"
    assert f"{night['treated']:,} of {night['users']:,} users are treated" in texts(app)
    assert _one(str(app.query_params["arm"])) == "womens"


def both_arms(answer: dict[str, Any]) -> None:
    """As if the night had made a list for either treatment, the other one of another size."""
    for name in ("nights", "counts", "gates", "best"):
        other = {"campaign": "autumn", "arm": "mens"}
        other |= {"nights": {"treated": 777}, "best": {"user_id": 424242}}.get(name, {})
        answer[name] += [row | other for row in answer[name] if row["campaign"] == "womens"]


@pytest.mark.parametrize(("arm", "campaign"), [("womens", "womens"), ("mens", "autumn")])
def test_each_treatment_shows_its_own_list(
    client: ApiClient, monkeypatch: pytest.MonkeyPatch, arm: str, campaign: str
) -> None:
    altered(monkeypatch, "/lists", both_arms)
    app = run_page("lists", arm=arm)
    assert not app.info
    said = texts(app)
    assert f"in the campaign '{campaign}'" in said
    assert ("**777 of" in said) is (arm == "mens")
    tables = [table.value for table in app.dataframe]
    (first,) = [table for table in tables if "user id" in table]
    assert (set(first["user id"]) == {"424242"}) is (arm == "mens")
    (nights,) = [table for table in tables if "share treated" in table]
    assert set(nights["campaign"]) == {campaign}


def test_of_two_lists_for_one_treatment_either_can_be_chosen(
    client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second(answer: dict[str, Any]) -> None:
        both_arms(answer)
        answer["nights"][-1]["arm"] = "womens"

    altered(monkeypatch, "/lists", second)
    app = run_page("lists")
    assert "in the campaign 'womens'" in texts(app)
    widget(app, "selectbox", "Campaign").set_value("autumn").run()
    assert "**777 of" in texts(app)
    assert "**777 of" in texts(run_page("lists", campaign="autumn"))


def test_measured_lists_are_those_of_the_treatment(
    client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(answer: dict[str, Any]) -> None:
        night = answer["nights"][0]
        row = {"decision_date": night["decision_date"], "outcome": "visit", "uplift": 0.1}
        answer["realised"] = [row | {"campaign": "womens"}, row | {"campaign": "of nobody"}]

    altered(monkeypatch, "/lists", measured)
    tables = [table.value for table in run_page("lists").dataframe]
    (shown,) = [table for table in tables if "measured effect" in table]
    assert list(shown["campaign"]) == ["womens"]
    assert not run_page("lists", arm="mens").dataframe


def test_a_first_list_has_nobody_who_entered_or_left(
    client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Entered" not in metrics(run_page("lists"))
    before = {"previous_date": "2026-01-01", "entered": 12, "exited": 34}
    altered(monkeypatch, "/lists", lambda answer: answer["nights"][0].update(before))
    assert metrics(run_page("lists")) | {"Entered": "12", "Left": "34"} == metrics(run_page("lists"))


def test_an_old_list_is_told_to_be_old(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "days old" not in warnings(run_page("lists"))
    day = (datetime.now(UTC) - timedelta(days=9)).date().isoformat()
    altered(monkeypatch, "/lists", lambda answer: answer["nights"][0].update(decision_date=day))
    assert "This list is 9 days old" in warnings(run_page("lists"))


def test_a_treatment_that_was_not_compared_with_econml_says_so(client: ApiClient) -> None:
    assert "Not compared for this treatment" not in texts(run_page("evidence"))
    assert "Not compared for this treatment" in texts(run_page("evidence", arm="mens"))


@pytest.mark.parametrize("name", PAGES)
def test_no_table_has_headings_of_code_or_ids_as_numbers(client: ApiClient, name: str) -> None:
    for table in run_page(name).dataframe:
        headings = [str(heading) for heading in table.value]
        assert not [heading for heading in headings if "_" in heading]
        assert not [c for c in headings if "id" in c.split() and table.value[c].dtype.kind in "iu"]


def test_the_model_page_shows_the_card_and_the_sql(client: ApiClient, served: Path) -> None:
    app = run_page("model")
    assert manifest_of(served, "hillstrom").features_sql.strip() in app.code[0].value
    assert any("S-learner" in text.value for text in app.markdown)


@pytest.mark.timed
@pytest.mark.parametrize("name", PAGES)
def test_a_page_answers_within_a_second(client: ApiClient, name: str) -> None:
    app = run_page(name)
    started = time.monotonic()
    app.run()
    assert time.monotonic() - started < 1.0


def test_who_names_the_groups_that_differ_and_shows_the_rules_of_the_api(client: ApiClient) -> None:
    answer = client.get("/evidence", arm="womens")
    said, app = texts(run_page("who")), run_page("who")
    tested = [row for row in answer["segments"] if row["q_value"] is not None]
    differing = [row for row in tested if row["q_value"] < 0.05]
    flags = [row for row in differing if row["feature"] == "womens"]
    assert flags, "this shows nothing"
    assert "Bought women's goods in the past year: yes" in said
    assert "womens: 1" not in said
    for row in differing:
        assert f"{row['n']:,} users; the rest" in said
    audiences = answer["audiences"]
    both, listed = (
        sum(row["share"] * row[name] for row in audiences) for name in ("listed_by_both", "listed")
    )
    assert f"{both / listed:.0%} of the users whom" in said
    assert all(name in said for name in ("Persuadables", "Sure things", "Lost causes"))
    for form in ("duckdb", "python"):
        app.segmented_control[0].set_value(form).run()
        rules = client.get("/rules", arm="womens", form=form)["rules"]
        assert [code.value for code in app.code] == [rule["text"].strip() for rule in rules]
        assert all(rule["words"] in texts(app) for rule in rules)
