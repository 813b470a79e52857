"""Online against batch: the same users by every route have the same scores, to the bit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
from fastapi.testclient import TestClient

from serve.app import create_app
from serve.routes.batch import ARROW
from serve.settings import Settings
from tests.serve.support import BUDGETS, manifest_of, query
from uplift_core.learners import LEARNER_NAMES
from uplift_core.targeting.budget import list_size

AT_ONCE = 32
# Users at a threshold come first, up to 20 of each learner and budget: there a tie decides.
USERS = """
with at_threshold as (
    select user_id
    from (
        unpivot scores.{experiment} on cate_s, cate_t, cate_x, cate_r, cate_dr, cate_stack
        into name which value score
    ) as users
    inner join decisions.thresholds on
        which = 'cate_' || learner
        and thresholds.arm = users.arm
        and thresholds.threshold::float = users.score
    where users.arm = $arm and experiment = '{experiment}' and budget in (select unnest($budgets))
    qualify row_number() over (partition by learner, budget order by md5(user_id::varchar)) <= 20
)
from raw.{experiment} join scores.{experiment} using (user_id) where arm = $arm
order by user_id in (from at_threshold) desc, md5(user_id::varchar) limit $n
"""


def users_of(home: Path, experiment: str, n: int) -> list[dict[str, object]]:
    """Users with their raw columns, and their scores for the published arm; ties are among them."""
    arm = manifest_of(home, experiment).experiment.defaults.arm
    sql = USERS.format(experiment=experiment)
    users = query(home, sql, arm=arm, n=n, budgets=list(BUDGETS))
    tied = 0
    for (learner, budget), limit in thresholds(home, experiment).items():
        if budget in BUDGETS:
            at = sum(user[f"cate_{learner}"] == limit for user in users)
            assert at, f"nobody is at the threshold of {learner} at {budget}"
            tied += at > 1
    assert tied > len(BUDGETS)
    return users


def thresholds(home: Path, experiment: str) -> dict[tuple[str, float], float]:
    """The batch's thresholds of the published arm."""
    arm = manifest_of(home, experiment).experiment.defaults.arm
    sql = "from decisions.thresholds where experiment = $e and arm = $arm"
    return {(r["learner"], r["budget"]): r["threshold"] for r in query(home, sql, e=experiment, arm=arm)}


def assert_batch_equals_table(api: TestClient, home: Path, experiment: str, n: int) -> None:
    """Compare Arrow at every learner and budget; JSON and ids at every learner and at every budget.

    By attributes the score decides; by id the decision is that of the user's role.
    """
    users, limits = users_of(home, experiment, n), thresholds(home, experiment)
    names = [c.name for c in manifest_of(home, experiment).raw_columns]
    rows = [{name: user[name] for name in names} for user in users]
    ids = [user["user_id"] for user in users]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    stream = sink.getvalue().to_pybytes()
    for learner, budget in product(LEARNER_NAMES, BUDGETS):
        target = {"experiment": experiment, "learner": learner, "budget": budget}
        expected = np.asarray([user[f"cate_{learner}"] for user in users], np.float32)
        treat = expected >= np.float32(limits[learner, budget])
        in_json = LEARNER_NAMES.index(learner) == BUDGETS.index(budget)
        for body in ({"rows": rows}, {"user_ids": ids}) if in_json else ():
            answer = api.post("/score/batch", json=target | body)
            assert answer.status_code == 200, answer.text[:500]
            decided = answer.json()
            assert np.array_equal(np.asarray(decided["scores"], np.float32), expected)
            if "rows" in body:
                assert decided["treat"] == treat.tolist()
                assert decided["roles"] is decided["score_treat"] is decided["listed_in"] is None
            else:
                assert decided["score_treat"] == treat.tolist()
                by_role = decisions(home, experiment, budget)
                assert decided["treat"] == [
                    by_role.get(user, by_score)
                    for user, by_score in zip(ids, treat.tolist(), strict=True)
                ]
            assert decided["threshold"] == limits[learner, budget]
        headers = {"content-type": ARROW, "accept": ARROW}
        answer = api.post("/score/batch", params=target, content=stream, headers=headers)
        with pa.ipc.open_stream(answer.content) as reader:
            answered = reader.read_all()
        assert answered.column("score").to_numpy().tobytes() == expected.tobytes()
        assert np.array_equal(answered.column("treat").to_numpy(zero_copy_only=False), treat)


@cache
def decisions(home: Path, experiment: str, budget: float) -> dict[int, bool]:
    """Decisions, at any budget, about the newest list's users about whom the score does not decide."""
    rows = query(
        home,
        "select user_id, decision, rank, count(*) over () as users from decisions.treat_list "
        "where experiment = $e qualify decision not in ('treat', 'no_treat')",
        e=experiment,
    )
    return {
        row["user_id"]: row["decision"] == "explore" and row["rank"] <= list_size(budget, row["users"])
        for row in rows
    }


def assert_single_equals_table(home: Path, experiment: str, n: int) -> None:
    """Compare single requests, many at once: half of the users by attributes, half by id."""
    users, limits = users_of(home, experiment, n), thresholds(home, experiment)
    names = [c.name for c in manifest_of(home, experiment).raw_columns]
    asyncio.run(_ask_all(home, experiment, users, names, limits))


async def _ask_all(
    home: Path,
    experiment: str,
    users: Sequence[dict[str, object]],
    names: Sequence[str],
    limits: dict[tuple[str, float], float],
) -> None:
    app = create_app(Settings(home=home, allowed_hosts=("testserver",)))
    waiting = iter(enumerate(users))

    async def ask(client: httpx.AsyncClient) -> None:
        for i, user in waiting:
            learner, budget = LEARNER_NAMES[i % 6], BUDGETS[i // 6 % 5]
            who = {"user_id": user["user_id"]} if i % 2 else {"attributes": {k: user[k] for k in names}}
            target = {"experiment": experiment, "learner": learner, "budget": budget}
            answer = await client.post("/score", json=target | who)
            assert answer.status_code == 200, answer.text
            decided, score = answer.json(), np.float32(user[f"cate_{learner}"])
            assert np.float32(decided["score"]).tobytes() == score.tobytes()
            assert np.float32(decided["response"]) == np.float32(user["response"])
            treat = bool(score >= np.float32(limits[learner, budget]))
            assert decided["score_decision"] == ("treat" if treat else "no_treat")
            if i % 2:
                treat = decisions(home, experiment, budget).get(user["user_id"], treat)
            assert decided["decision"] == ("treat" if treat else "no_treat")

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        await asyncio.gather(*(ask(client) for _ in range(AT_ONCE)))
