"""Who said no is kept out at once: by the API or beside it, without another snapshot."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serve import known_users
from tests.serve.support import api_of, publish_again
from uplift_core.artifacts import register
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.register import ALL, Register, Wish

KEY = "a key for this test"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()
SENT = {"x-api-key": KEY}
TODAY = datetime.now(UTC).date()


@pytest.fixture
def api(home: Path) -> Iterator[TestClient]:
    with api_of(home, api_keys=[DIGEST]) as client:
        client.headers.update(SENT)
        yield client


def post(api: TestClient, user: object, status: int = 201, **body: object) -> dict:
    sent = {"experiment": "simulated", "user": str(user), "reason": "unsubscribed"} | body
    answer = api.post("/suppressions", json=sent)
    assert answer.status_code == status, answer.text
    return answer.json()


def said_of(api: TestClient, user: int) -> tuple[str, str]:
    """Role and reason, of one user and the same in a batch."""
    one = api.post("/score", json={"user_id": user, "budget": 1.0}).json()
    batch = api.post("/score/batch", json={"user_ids": [1, user, 2], "budget": 1.0}).json()
    assert (batch["roles"][1], batch["reasons"][1]) == (one["role"], one["reason"])
    assert batch["treat"][1] == (one["decision"] == "treat")
    assert (one["role"] != "suppressed") or (one["decision"] == "no_treat")
    return one["role"], one["reason"]


def ranked_users(api: TestClient, n: int) -> list[int]:
    roles = api.post("/score/batch", json={"user_ids": list(range(1, 500))}).json()["roles"]
    return [user for user, role in enumerate(roles, start=1) if role == "ranked"][:n]


def test_a_suppression_by_the_api_holds_at_once_and_until_it_is_lifted(
    api: TestClient, home: Path
) -> None:
    (user,) = ranked_users(api, 1)
    entered = post(api, user, by="newsletter", until=str(TODAY))
    (entry,) = entered["entries"]
    assert (entry["user_id"], entry["experiment"], entered["known"]) == (user, "simulated", True)
    assert entry["made_by"] == f"newsletter (API key {DIGEST[:8]})"
    assert said_of(api, user) == ("suppressed", "unsubscribed")
    path = f"/suppressions/simulated/{user}"
    assert api.get(path).json()["keeps_out"] is True
    post(api, user, action="lift", reason="signed up again")
    assert said_of(api, user) == ("ranked", "above_threshold")
    told = api.get(path).json()
    assert (told["keeps_out"], told["user_ids"]) == (False, [user])
    assert [e["action"] for e in told["entries"]] == ["suppress", "lift"]
    assert post(api, user, 422, action="lift")["detail"].startswith(f"user = '{user}': no entry for")
    assert Home(home).register.stat().st_mode & 0o777 == 0o600


def test_what_others_enter_holds_at_once_and_its_last_day_is_part_of_it(
    api: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the snapshot holds an earlier state: the register as it is now decides."""
    user, other = ranked_users(api, 2)
    register = Register(Home(home).register)
    register.enter([Wish(user, "simulated", "suppress", "left", "Ann", TODAY)])
    assert said_of(api, user) == ("suppressed", "left")
    monkeypatch.setattr(known_users, "today", lambda: TODAY + timedelta(days=1))
    assert said_of(api, user) == ("ranked", "above_threshold")
    monkeypatch.undo()
    copied = f"'simulated', {other}, 'left', null, 1, false, 'Ann', now()::timestamp"
    publish_again(home, "later", f"insert into decisions.registered values ({copied})")
    assert said_of(api, other) == ("ranked", "above_threshold")
    # An entry for all experiments is not about users who are known by rows alone.
    register.enter([Wish(other, ALL, "suppress", "left", "Ann")])
    assert said_of(api, other) == ("ranked", "above_threshold")
    # Without a register, the state that the newest list obeyed is better than none.
    for path in home.glob("register.sqlite*"):
        path.unlink()
    assert said_of(api, other) == ("suppressed", "left")


def test_a_row_number_is_known_or_refused(api: TestClient) -> None:
    for user in ("5001", "K-17", "0", "007", str(2**70), "x" * 256):
        told = post(api, user, 404, unknown_too=True)
        assert "is the user_id of no published user of simulated; its users are rows" in told["detail"]
    refused = post(api, 7, 422, experiment=None)
    assert "simulated know users by the row in their file" in refused["detail"]
    assert "is not among the published experiments" in post(api, 7, 422, experiment="shop")["detail"]
    assert api.get("/suppressions/simulated/5001").status_code == 404
    assert api.get("/suppressions/simulated/7").json()["entries"] == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": " "}, "reason: must be a text on one line"),
        ({"reason": "two\nlines"}, "reason: must be a text on one line"),
        ({"reason": "x" * 201}, "at most 200 characters"),
        ({"until": "31.1.2030"}, "until: must be a day, YYYY-MM-DD"),
        ({"until": "2020-01-31"}, "that day is over"),
        ({"until": 20_000}, "until"),
        ({"until": str(TODAY), "action": "lift"}, "lifted at once"),
        ({"action": "forget"}, "action"),
        ({"user": 7}, "user = 7: must be a text"),
        ({"usr": "7"}, "usr: unknown"),
    ],
)
def test_what_is_wrong_is_named(api: TestClient, home: Path, body: dict, words: str) -> None:
    user = body.pop("user", "7")
    sent = {"experiment": "simulated", "user": user, "reason": "unsubscribed"} | body
    answer = api.post("/suppressions", json=sent)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert words in answer.json()["detail"]
    assert not Home(home).register.exists()


def test_who_may_write(home: Path) -> None:
    """With a key; without any configured, from the service's own machine under its local names."""
    body = {"experiment": "simulated", "user": "7", "reason": "unsubscribed"}
    with api_of(home, api_keys=[DIGEST]) as api:
        assert api.post("/suppressions", json=body).status_code == 401
        assert api.get("/suppressions/simulated/7").status_code == 401
    local = {"allowed_hosts": ["localhost", "127.0.0.1"]}
    for names, caller, status in (
        (local, "127.0.0.1", 201),
        (local, "10.0.0.7", 403),
        ({"allowed_hosts": ["*"]}, "127.0.0.1", 403),
        ({"allowed_hosts": ["localhost", "uplift.example"]}, "127.0.0.1", 403),
    ):
        with api_of(home, **names) as api:
            client = TestClient(api.app, base_url="http://localhost", client=(caller, 4711))
            answer = client.post("/suppressions", json=body)
        assert answer.status_code == status, answer.text
        if status == 403:
            assert "configure UPLIFT_API_KEYS" in answer.json()["detail"]
        else:
            assert answer.json()["entries"][0]["made_by"] == "without a key, on this machine"


def test_a_register_that_cannot_be_read_lets_nobody_through(
    api: TestClient, home: Path, simulated_user: dict
) -> None:
    (user,) = ranked_users(api, 1)
    Home(home).register.write_bytes(b"damaged" * 1000)
    refused = api.post("/score", json={"user_id": user})
    assert refused.status_code == 503
    assert "register.sqlite: the register of consent cannot be used" in refused.json()["detail"]
    assert api.post("/score/batch", json={"user_ids": [user]}).status_code == 503
    assert post(api, user, 503)["title"] == "Service Unavailable"
    assert api.get(f"/suppressions/simulated/{user}").status_code == 503
    assert api.post("/score", json={"attributes": simulated_user}).status_code == 200  # of nobody known


def test_a_register_that_cannot_be_made_is_told_and_users_are_answered_meanwhile(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home may be mounted read-only, before anybody was entered."""
    (user,) = ranked_users(api, 1)

    def read_only(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(register.os, "open", read_only)
        assert "Read-only file system" in post(api, user, status=503)["detail"]
    assert said_of(api, user)[0] == "ranked"
