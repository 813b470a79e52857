from __future__ import annotations

import pytest

from tests.ui.support import ANSWER, FakeApi
from ui.client import ApiClient, ApiDownError, ApiRefusedError, Decision

ASKED = {
    "experiment": "hillstrom",
    "attributes": {"recency": 3, "zip_code": None},
    "budget": 0.25,
    "arm": "womens",
}


def test_it_asks_as_it_is_told_and_reads_the_answer(api: FakeApi) -> None:
    assert ApiClient(api.url + "/", 5).score(ASKED) == Decision(**ANSWER)
    assert api.requests == [{"path": "/score", "key": None} | ASKED]


def test_it_sends_its_key_and_leaves_out_what_is_none(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPLIFT_API_KEY", "a key")
    ApiClient(api.url, 5).get("/policy", budget=0.3, arm=None)
    assert api.requests == [{"path": "/policy?budget=0.3", "key": "a key"}]


def test_a_threshold_may_be_null_and_new_keys_do_no_harm(api: FakeApi) -> None:
    api.body = ANSWER | {"threshold": None, "a_later_key": 1}
    assert ApiClient.from_environment().score(ASKED).threshold is None


def test_a_problem_is_passed_on_in_its_own_words(api: FakeApi) -> None:
    api.status, api.body = 422, {"status": 422, "detail": "budget = 2: too large"}
    with pytest.raises(ApiRefusedError, match=r"^budget = 2: too large$"):
        ApiClient.from_environment().score(ASKED)


def test_nothing_there(closed_url: str) -> None:
    with pytest.raises(ApiDownError, match=f"does not answer at {closed_url}"):
        ApiClient.from_environment().score(ASKED)


def test_the_environments_proxy_is_not_asked(
    api: FakeApi, closed_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, closed_url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ApiClient(api.url, 5).score(ASKED).decision == "treat"


def test_an_api_that_hangs(api: FakeApi) -> None:
    api.delay = 0.5
    with pytest.raises(ApiDownError, match=r"within 0\.1 seconds"):
        ApiClient(api.url, 0.1).score(ASKED)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "<html>"), (200, {"decision": "perhaps"}), (500, "<html>"), (404, {}), (404, [1])],
)
def test_another_server_at_that_address(api: FakeApi, status: int, body: object) -> None:
    api.status, api.body = status, body
    with pytest.raises(ApiDownError, match="Another program"):
        ApiClient(api.url, 5).score(ASKED)
