"""The streams of a list: users to treat, and changes, without whom the register keeps out since."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from serve.routes import lists
from serve.routes.batch import ARROW
from tests.serve.support import api_of, copy_home, publish_again, query
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.register import Register, Wish

URL = "/lists/simulated/treated/treat"
TREATED = """
select user_id, arm, campaign, decision_date, rank from decisions.listed
where experiment = 'simulated' and campaign = 'treated' and treated order by rank
"""


def listed(home: Path) -> list[dict]:
    return query(home, TREATED)


def in_csv(text: str) -> list[dict]:
    return [*csv.DictReader(io.StringIO(text))]


def test_the_stream_is_the_list_in_its_order(
    simulated_served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "ROWS", 100)  # several pieces
    rows = listed(simulated_served)
    with api_of(simulated_served) as api:
        answer = api.get(URL)
        arrow = api.get(URL, params={"format": "arrow", "date": str(rows[0]["decision_date"])})
    assert answer.headers["content-type"].startswith("text/csv")
    assert (
        f"simulated-treated-{rows[0]['decision_date']}-treat.csv"
        in answer.headers["content-disposition"]
    )
    assert in_csv(answer.text) == [{name: str(value) for name, value in row.items()} for row in rows]
    assert arrow.headers["content-type"] == ARROW
    with pa.ipc.open_stream(arrow.content) as reader:
        assert reader.read_all().to_pylist() == rows


def test_who_said_no_since_is_left_out_and_the_tag_tells(simulated_home: Path, tmp_path: Path) -> None:
    home = copy_home(simulated_home, tmp_path / "home")
    rows = listed(home)
    with api_of(home) as api:
        first = api.get(URL)
        same = api.get(URL, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
        assert (same.status_code, same.content, same.headers["etag"]) == (
            304,
            b"",
            first.headers["etag"],
        )
        assert api.get(URL, params={"format": "arrow"}).headers["etag"] != first.headers["etag"]
        user = rows[3]["user_id"]
        register = Register(Home(home).register)
        register.enter([Wish(user, "simulated", "suppress", "unsubscribed", "Ann")])
        then = api.get(URL, headers={"If-None-Match": first.headers["etag"]})
        assert then.status_code == 200
        kept = [int(row["user_id"]) for row in in_csv(then.text)]
        assert kept == [row["user_id"] for row in rows if row["user_id"] != user]
        register.enter([Wish(user, "simulated", "lift", "came back", "Ann")])
        assert api.get(URL).headers["etag"] == first.headers["etag"]


def test_a_list_that_is_not_published_is_refused(simulated_served: Path) -> None:
    (row, *_) = listed(simulated_served)
    with api_of(simulated_served) as api:
        unknown = api.get("/lists/simulated/autumn/treat")
        nobody = api.get("/lists/nothing/treated/treat")
        late = api.get(URL, params={"date": str(row["decision_date"] + timedelta(days=1))})
    assert [each.status_code for each in (unknown, nobody, late)] == [404, 422, 404]
    assert "campaign = 'autumn': simulated has no published list" in unknown.json()["detail"]
    assert f"the published list is of {row['decision_date']}" in late.json()["detail"]


def test_the_stream_names_users_as_the_file_does(households_home: Path, tmp_path: Path) -> None:
    home = copy_home(households_home, tmp_path / "home")
    (night,) = query(home, "select campaign from decisions.nights")
    with api_of(home) as api:
        answer = api.get(f"/lists/households/{night['campaign']}/treat")
    rows = in_csv(answer.text)
    (export,) = (Path(households_home) / "exports" / "households").glob("*/*/*/treat.csv")
    assert rows == in_csv(export.read_text())


def test_changes_are_between_the_newest_list_and_the_one_before(
    simulated_home: Path, tmp_path: Path
) -> None:
    home = copy_home(simulated_home, tmp_path / "home")
    first, second, third, *rest = (row["user_id"] for row in listed(home))
    (left, *_) = query(
        home, "select user_id from decisions.listed where not treated and decision = 'no_treat' limit 1"
    )
    publish_again(
        home,
        "with-a-list-before",
        "insert into decisions.treat_list select * replace (decision_date - 1 as decision_date) "
        f"from decisions.treat_list where treated and user_id not in ({first}, {second})",
        "insert into decisions.treat_list select * replace (decision_date - 1 as decision_date, "
        f"true as treated) from decisions.treat_list where user_id = {left['user_id']}",
        f"update decisions.treat_list set arm = 'other' where user_id = {third} "
        "and decision_date < (select max(decision_date) from decisions.treat_list)",
        "update decisions.nights set previous_date = decision_date - 1",
    )
    url = "/lists/simulated/treated/changes"
    with api_of(home) as api:
        answer = api.get(url)
        rows = {int(row["user_id"]): row for row in in_csv(answer.text)}
        assert {user: row["change"] for user, row in rows.items()} == {
            first: "enter",
            second: "enter",
            third: "arm",
            left["user_id"]: "exit",
        }
        assert (rows[third]["arm"], rows[third]["previous_arm"]) == ("treated", "other")
        assert (rows[first]["previous_arm"], rows[left["user_id"]]["arm"]) == ("", "")
        assert "-changes.csv" in answer.headers["content-disposition"]
        assert answer.headers["etag"] != api.get(URL).headers["etag"]
        register = Register(Home(home).register)
        register.enter([Wish(u, "simulated", "suppress", "no", "Ann") for u in (first, rest[0])])
        now = {int(row["user_id"]): row["change"] for row in in_csv(api.get(url).text)}
    assert now == {second: "enter", third: "arm", left["user_id"]: "exit", rest[0]: "exit"}


def test_everybody_enters_the_first_list(simulated_served: Path) -> None:
    with api_of(simulated_served) as api:
        rows = in_csv(api.get("/lists/simulated/treated/changes").text)
    assert {row["change"] for row in rows} == {"enter"}
    assert sorted(int(row["user_id"]) for row in rows) == sorted(
        row["user_id"] for row in listed(simulated_served)
    )
