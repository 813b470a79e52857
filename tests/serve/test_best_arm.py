"""The best arm online: the policy that was judged, on the batch's scores, to the bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from serve.routes.batch import ARROW
from tests.serve.support import api_of, copy_home, manifest_of, query
from tests.support import OFFER_COSTS
from uplift_core.targeting.arm_choice import Offers, Prices
from uplift_core.targeting.arm_path import NO_ARM

BUDGETS = (0.0, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
BEST = {"experiment": "offers", "arm": "best"}


@pytest.fixture(scope="module")
def home(offers_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(offers_home, tmp_path_factory.mktemp("best") / "offers")


@pytest.fixture(scope="module")
def api(home: Path) -> Iterator[TestClient]:
    with api_of(home) as client:
        yield client


def of_batch(home: Path) -> tuple[list[dict], tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]:
    """All users, the arms, the batch's scores and effects by arm, and the costs."""
    manifest = manifest_of(home, "offers")
    arms = manifest.experiment.treatments
    users = query(home, "from raw.offers order by user_id")
    score = np.column_stack(
        [
            [r["s"] for r in query(home, f"select {column} as s from scores.offers where arm = $arm "
                                         "order by user_id", arm=arm)]
            for arm, column in ((arm, "cate_stack") for arm in arms)
        ]
    ).astype(np.float32)  # fmt: skip
    effect = np.column_stack(
        [manifest.effect_maps[arm].effects(score[:, a]) for a, arm in enumerate(arms)]
    )
    return users, arms, score, effect, np.array([OFFER_COSTS[arm] for arm in arms])


@cache
def ids(home: Path) -> list[int]:
    return [row["user_id"] for row in query(home, "select user_id from raw.offers order by user_id")]


def attributes(home: Path, users: list[dict]) -> list[dict[str, object]]:
    names = [column.name for column in manifest_of(home, "offers").raw_columns]
    return [{name: user[name] for name in names} for user in users]


def test_where_each_users_arm_is_chosen_all_users_get_the_batchs_arm(
    api: TestClient, home: Path
) -> None:
    users, arms, _, effect, costs = of_batch(home)
    split = [r["split"] for r in query(home, "select split from assignment.offers order by user_id")]
    held_out = np.array(split) == "holdout"
    prices = Prices(effect[held_out].astype(float), np.ones(held_out.sum()), costs)
    offers = Offers.of(effect.astype(float), costs)
    at_price, chosen = 0, set()
    for budget in BUDGETS:
        answer = api.post(
            "/score/batch", json=BEST | {"budget": budget, "rows": attributes(home, users)}
        )
        assert answer.status_code == 200, answer.text[:500]
        decided = answer.json()
        if decided["best_arm"]["decider"] != "multi_arm":
            continue
        price = prices.price(budget)
        assert decided["best_arm"]["price"] == (None if np.isinf(price) else price)
        arm = offers.at(price)
        expected = [arms[a] if a != NO_ARM else None for a in arm]
        assert decided["arms"] == expected
        assert decided["treat"] == [name is not None for name in expected]
        given = arm != NO_ARM
        scores = np.asarray(decided["scores"], np.float32)
        assert np.array_equal(scores[given], effect[given, arm[given]])
        worth = np.column_stack([np.zeros(len(arm)), effect - price * costs])
        assert worth[np.arange(len(arm)), arm + 1] == pytest.approx(worth.max(axis=1), abs=1e-9)
        at_price += int((offers.slope == price).any(axis=1).sum() > 1)
        chosen |= set(expected)
    assert chosen == {*arms, None}
    assert at_price >= 3  # budgets at whose price several users are


def test_where_one_arm_decides_the_answers_are_that_arms(api: TestClient, home: Path) -> None:
    """A budget is money: a tenth of the calls pays for gifts to 40 % of users."""
    users = ids(home)[:400]
    (policy,) = query(
        home,
        "select distinct decider from models.arm_policies where experiment = 'offers' and budget = .1",
    )
    assert policy["decider"] == "gift"
    best = api.post("/score/batch", json=BEST | {"budget": 0.1, "user_ids": users}).json()
    gift = {"experiment": "offers", "arm": "gift", "budget": 0.4, "user_ids": users}
    alone = api.post("/score/batch", json=gift).json()
    for name in ("scores", "treat", "score_treat", "roles", "reasons", "threshold", "arm", "learner"):
        assert best[name] == alone[name]
    assert best["arms"] == ["gift" if treat else None for treat in alone["treat"]]
    assert best["budget"] == 0.1
    assert best["best_arm"]["decider"] == "gift"
    assert "'gift' alone decides" in best["best_arm"]["reason"]
    assert alone["best_arm"] is alone["arms"] is None


def test_one_user_gets_what_the_batch_gets_with_every_alternative(api: TestClient, home: Path) -> None:
    users, arms, score, effect, costs = of_batch(home)
    several = api.post("/score/batch", json=BEST | {"budget": 0.5, "user_ids": ids(home)[:40]}).json()
    for i in range(40):
        one = api.post("/score", json=BEST | {"budget": 0.5, "user_id": ids(home)[i]}).json()
        assert (one["decision"] == "treat") == several["treat"][i]
        if several["arms"][i]:
            assert one["arm"] == several["arms"][i]
        assert one["score"] == several["scores"][i]
        assert one["best_arm"] == several["best_arm"]
        assert [each["arm"] for each in one["alternatives"]] == list(arms)
        assert np.array_equal([each["score"] for each in one["alternatives"]], score[i])
        assert np.array_equal([each["effect"] for each in one["alternatives"]], effect[i])
        assert [each["cost"] for each in one["alternatives"]] == costs.tolist()
        assert {each["net_value"] for each in one["alternatives"]} == {None}  # no value is declared
        assert one["score"] == effect[i, arms.index(one["arm"])]
        by_attributes = api.post(
            "/score", json=BEST | {"budget": 0.5, "attributes": attributes(home, users[i : i + 1])[0]}
        ).json()
        assert by_attributes["alternatives"] == one["alternatives"]
        if one["role"] == "ranked":
            assert (by_attributes["decision"], by_attributes["arm"]) == (one["decision"], one["arm"])
            assert 0 < one["top_share"] <= 1


def test_roles_are_kept_and_explorers_get_any_arm(api: TestClient, home: Path) -> None:
    decided = api.post("/score/batch", json=BEST | {"budget": 1.0, "user_ids": ids(home)}).json()
    role, arm = np.array(decided["roles"]), np.array([str(each) for each in decided["arms"]])
    assert set(arm[role == "holdout"]) == {"None"}
    explorers = arm[role == "explore"]
    assert len(explorers) > 40
    counts = [np.sum(explorers == name) for name in OFFER_COSTS]
    assert sum(counts) == len(explorers)  # the budget is everybody
    assert min(counts) > len(explorers) / 3 - 4 * np.sqrt(len(explorers) * 2 / 9)


def test_arrow_has_the_arm_as_a_column(api: TestClient, home: Path) -> None:
    users, *_ = of_batch(home)
    rows = attributes(home, users[:300])
    sink, table = pa.BufferOutputStream(), pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = api.post(
        "/score/batch",
        params=BEST | {"budget": 0.5},
        content=sink.getvalue().to_pybytes(),
        headers={"content-type": ARROW, "accept": ARROW},
    )
    with pa.ipc.open_stream(answer.content) as reader:
        arms = reader.read_all().column("arm").to_pylist()
    in_json = api.post("/score/batch", json=BEST | {"budget": 0.5, "rows": rows}).json()
    assert arms == in_json["arms"]


def test_the_sweep_has_the_figures_of_the_table_and_the_prices_of_scores(
    api: TestClient, home: Path
) -> None:
    sweep = api.get("/policy/arms", params={"experiment": "offers"}).json()
    rows = query(
        home,
        "from evaluation.multi_arm where experiment = 'offers' and learner = 'deciding' "
        "and policy = 'multi_arm' and outcome = 'bought' order by budget",
    )
    assert [row["budget"] for row in sweep["rows"]] == [row["budget"] for row in rows]
    for shown, row in zip(sweep["rows"], rows, strict=True):
        assert shown["shares"] == json.loads(row["arm_shares"])
        for name in ("gain", "best_single", "difference", "difference_ci_low"):
            assert shown[name] == row[name]
        spent = sum(sweep["costs"][arm] * share for arm, share in shown["shares"].items())
        assert spent == pytest.approx(row["spend"])
        body = BEST | {"budget": row["budget"], "user_id": ids(home)[0]}
        decided = api.post("/score", json=body).json()["best_arm"]
        assert decided["decider"] == shown["decider"]
        assert decided["price"] in {None, shown["price"]}
    assert {row["decider"] for row in sweep["rows"]} > {"multi_arm"}
    refused = api.get("/policy", params=BEST)
    assert "/policy is about one arm; ask /policy/arms" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/score", {"user_id": 7, "learner": "r"}, "each arm's deciding learner decides; leave it out"),
        ("/explain", {"user_id": 7}, "an explanation is about one arm; name it"),
        (
            "/score",
            {"user_id": 7, "arm": "nothing"},
            "is not among offers's treatment arms; choose one of call, gift, mail, best",
        ),
    ],
)
def test_what_the_best_arm_cannot_do_is_refused(
    api: TestClient, path: str, body: dict[str, object], words: str
) -> None:
    answer = api.post(path, json=BEST | body)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_the_newest_list_of_any_arm_says_what_it_decided(api: TestClient, home: Path) -> None:
    """A list about one arm stands, whichever arm or policy decides now."""
    (arm,) = {row["arm"] for row in query(home, "select arm from decisions.nights")}
    users = query(home, "select user_id, decision, rank from decisions.listed order by user_id limit 9")
    deciders = set()
    for budget in BUDGETS:
        body = BEST | {"budget": budget, "user_ids": [row["user_id"] for row in users]}
        several = api.post("/score/batch", json=body).json()
        deciders.add(several["best_arm"]["decider"])
        assert several["listed_decisions"] == [row["decision"] for row in users]
        assert several["listed_in"]["arm"] == arm
        one = api.post("/score", json=BEST | {"budget": budget, "user_id": users[0]["user_id"]}).json()
        assert (one["listed"]["arm"], one["listed"]["rank"]) == (arm, users[0]["rank"])
    assert deciders - {arm}


def test_with_one_treatment_it_is_the_best_arm(simulated_api: TestClient) -> None:
    body = {"experiment": "simulated", "user_ids": [1, 2, 3]}
    best = simulated_api.post("/score/batch", json=body | {"arm": "best"}).json()
    alone = simulated_api.post("/score/batch", json=body).json()
    different = {"decision_id", "request_id", "best_arm", "arms"}
    assert {k: v for k, v in best.items() if k not in different} == {
        k: v for k, v in alone.items() if k not in different
    }
    arm, word, reason = (best[key] for key in ("arm", "evidence", "evidence_reason"))
    assert best["arms"] == [arm if treat else None for treat in best["treat"]]
    assert best["best_arm"] == {
        "decider": arm,
        "word": word,
        "reason": reason,
        "judged_at": best["budget"],
        "price": None,
    }
    one = {"experiment": "simulated", "user_id": 1, "arm": "best"}
    answer = simulated_api.post("/score", json=one).json()
    (only,) = answer["alternatives"]
    assert (only["arm"], only["learner"]) == (arm, best["learner"])
    assert only["score"] == only["effect"] == answer["score"] == best["scores"][0]
    assert answer["best_arm"] == best["best_arm"]
    refused = simulated_api.post("/score", json=one | {"arm": "women"})
    assert f"choose one of {arm}, best" in refused.json()["detail"]
