"""Experiments that are not built in: file, list and /score, by the documented steps alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from scipy.stats import spearmanr

from dagster_project import new_experiment, run
from tests.serve.support import api_of

OFFERS = {"Control": 0.4, "10 % off": 0.2, "20 % off": 0.2, "Free Shipping": 0.1, "Gift!": 0.1}
START = datetime(2026, 1, 1)  # noqa: DTZ001 - files have no zones


def offers(n: int = 4_000) -> tuple[pa.Table, np.ndarray]:
    """Five arms of unequal share, texts, a heavy-tailed outcome; the true effect of any offer."""
    rng = np.random.default_rng(1)
    segment = rng.choice(["new", "old", "vip"], n, p=[0.5, 0.3, 0.2])
    arm = rng.choice(list(OFFERS), n, p=list(OFFERS.values()))
    spend = rng.lognormal(1.0, 1.2, n)  # the largest of 4,000 is some 50 times the mean
    effect = np.select([segment == "vip", segment == "old"], [8.0, 0.0], -1.0)
    columns = {
        "Customer ID": [f"c-{i:05d}" for i in range(n)],
        "Age": rng.integers(2, 8, n) * 10,
        "Home town": rng.choice([f"O'{i}ville" for i in range(20)], n),
        "segment type": segment,
        "Premium": rng.random(n) < 0.3,
        "offer": arm,
        "Spend ($)": np.round(spend + effect * (arm != "Control"), 2),
    }
    return pa.table(columns), effect


def rare(n: int = 40_000) -> tuple[pa.Table, float]:
    """Two arms 70/30, an outcome of 0.5 %; the true mean effect."""
    rng = np.random.default_rng(2)
    visits, web = rng.poisson(1.0, n), rng.random(n) < 0.5
    treated = rng.random(n) < 0.7
    lift = np.where(web, 0.004, 0.0)
    bought = rng.random(n) < 0.003 + lift * treated
    columns = {
        "user_id": np.arange(n) + 1_000_000,
        "past_visits": visits,
        "web": web,
        "treatment": treated.astype(int),
        "converted": bought.astype(int),
    }
    return pa.table(columns), float(lift.mean())


def timed(n: int = 3_000) -> tuple[pa.Table, pa.Table, np.ndarray]:
    """Users assigned over time, the history of their balance with late corrections, the balance then."""
    rng = np.random.default_rng(3)
    assigned = [START + timedelta(hours=int(h)) for h in rng.integers(24, 24 * 30, n)]
    balance = rng.normal(0, 1, n).round(3)
    treated = rng.random(n) < 0.5
    bought = rng.random(n) < 0.2 + 0.15 * treated * (balance > 0)
    users = pa.table(
        {
            "member_id": np.arange(n),
            "age": rng.integers(18, 80, n),
            "assigned_at": assigned,
            "variant": np.where(treated, "B", "A"),
            "purchased": bought,
        }
    )
    ids = np.tile(np.arange(n), 3)
    known = [a - timedelta(hours=20) for a in assigned] + [a - timedelta(hours=1) for a in assigned]
    known += [a + timedelta(days=3) for a in assigned]  # a correction that knows the outcome
    values = np.concatenate([balance - 9, balance, 100.0 * bought])
    return users, pa.table({"member_id": ids, "known_at": known, "balance": values}), balance


TIMED_FEATURES = """select
    users.user_id,
    users.age::float as age, -- years
    past.balance::float as balance -- account at the moment of the assignment
from raw.timed as users
asof left join raw.timed_past as past
    on users.user_id = past.user_id and users.assigned_at >= past.known_at
"""


def add_history(folder: Path) -> None:
    """What the walk-through says about files with a history."""
    declaration = folder / "experiment.toml"
    table = '\n[tables.past]\npath = "past.parquet"\navailable_at = "known_at"\n'
    declaration.write_text(declaration.read_text() + table)
    (folder / "features.sql").write_text(TIMED_FEATURES)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UPLIFT_HOME after the three experiments were declared and run."""
    place = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(place))
        patch.setenv("UPLIFT_HOME", str(place / "home"))
        patch.setenv("UPLIFT_EXPERIMENTS", str(place / "experiments"))
        patch.setenv("UPLIFT_THREADS", "1")
        pc.write_csv(offers()[0], place / "offers.csv")
        pq.write_table(rare()[0], place / "rare.parquet")
        users, history, _ = timed()
        pc.write_csv(users, place / "users.csv")
        declare = new_experiment.main
        assert declare([str(place / "offers.csv"), "offers"]) == 0
        assert declare([str(place / "rare.parquet"), "rare"]) == 0
        assert declare([str(place / "users.csv"), "timed"]) == 0
        pq.write_table(history, place / "experiments" / "timed" / "past.parquet")
        add_history(place / "experiments" / "timed")
        for declaration in (place / "experiments").glob("*/experiment.toml"):  # each fold costs a fit
            text = declaration.read_text(encoding="utf-8")
            declaration.write_text(text.replace("folds = 5", "folds = 3"), encoding="utf-8")
        assert run.main(["offers", "rare", "timed"]) == 0
    return place / "home"


@pytest.fixture(scope="module")
def api(home: Path) -> Iterator[TestClient]:
    with api_of(home) as client:
        yield client


@pytest.fixture(scope="module")
def con(home: Path, api: TestClient) -> Iterator[duckdb.DuckDBPyConnection]:
    copy = home / "copy.duckdb"
    pointer = json.loads((home / "published" / "CURRENT.json").read_text())
    copy.write_bytes((home / "published" / pointer["file"]).read_bytes())
    with duckdb.connect(str(copy), read_only=True) as opened:
        yield opened


def score(api: TestClient, experiment: str, **who: object) -> dict[str, object]:
    answer = api.post("/score", json={"experiment": experiment, **who})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("name", ["offers", "rare", "timed"])
def test_a_list_of_the_budgets_size_and_every_user_on_it(
    con: duckdb.DuckDBPyConnection, name: str
) -> None:
    users, listed, treated = con.execute(
        f"select (select count(*) from raw.{name}), count(*), count(*) filter (treated) "
        "from decisions.treat_list where experiment = $name",
        {"name": name},
    ).fetchone()
    assert listed == users
    assert treated / users == pytest.approx(0.3, abs=0.001)


@pytest.mark.parametrize("name", ["offers", "rare", "timed"])
def test_the_api_scores_by_id_and_by_attributes_as_the_batch_did(
    api: TestClient, con: duckdb.DuckDBPyConnection, name: str
) -> None:
    contract = api.get("/features", params={"experiment": name}).json()["attributes"]
    users = con.execute(f"select user_id from raw.{name} order by user_id limit 5").fetchall()
    for (user,) in users:
        by_id = score(api, name, user_id=user)
        (batch,) = con.execute(
            f"select cate_{by_id['learner']} from scores.{name} where user_id = $user and arm = $arm",
            {"user": user, "arm": by_id["arm"]},
        ).fetchone()
        assert by_id["score"] == batch
        sent = {}
        for column in contract:
            table = f"{name}_{column['table']}" if column["table"] else name
            (value,) = con.execute(
                f'select "{column["name"]}" from raw.{table} where user_id = $user '
                + ("order by known_at desc limit 1" if column["table"] else ""),
                {"user": user},
            ).fetchone()
            key = f"{column['table']}.{column['name']}" if column["table"] else column["name"]
            sent[key] = value.isoformat() if isinstance(value, datetime) else value
        assert score(api, name, attributes=sent)["score"] == by_id["score"]


def test_five_arms_are_found_with_their_shares_and_effects(con: duckdb.DuckDBPyConnection) -> None:
    _, truth = offers()
    rows = con.execute(
        'select arm, avg(cate_r), list(cate_r order by "Customer ID") from scores.offers '
        "join raw.offers using (user_id) group by arm"
    ).fetchall()
    assert {row[0] for row in rows} == {"arm_10_off", "arm_20_off", "free_shipping", "gift"}
    for arm, mean, scores in rows:
        assert mean == pytest.approx(truth.mean(), abs=1.2), arm  # the tail's noise
        assert spearmanr(scores, truth).statistic > 0.4, arm


def test_texts_are_ids_that_come_back_in_the_export(home: Path, con: duckdb.DuckDBPyConnection) -> None:
    (file,) = (home / "exports" / "offers").glob("*/*/*/treat_list.csv")
    found = duckdb.sql(
        'select count(distinct "Customer ID"), '
        'bool_and(user_id = (md5_number_lower("Customer ID") >> 1)::bigint) from read_csv($file)',
        params={"file": str(file)},
    )
    assert found.fetchall() == [(4_000, True)]


def test_whole_ids_are_kept(con: duckdb.DuckDBPyConnection) -> None:
    assert con.execute("select min(user_id), max(user_id) from raw.rare").fetchone() == (
        1_000_000,
        1_039_999,
    )


def test_a_rare_outcome_has_its_mean_effect_within_chance(con: duckdb.DuckDBPyConnection) -> None:
    _, truth = rare()
    effect, error = con.execute(
        "select a.value - n.value, sqrt(a.std_error ** 2 + n.std_error ** 2) "
        "from evaluation.metrics as a join evaluation.metrics as n using (experiment, arm, learner) "
        "where experiment = 'rare' and learner = 'r' and a.metric = 'mean_if_all_treated' "
        "and n.metric = 'mean_if_none_treated'"
    ).fetchone()
    assert abs(effect - truth) < 3 * error
    assert con.execute("select avg(converted) from raw.rare").fetchone()[0] < 0.006


def test_what_became_known_later_does_not_reach_the_features(con: duckdb.DuckDBPyConnection) -> None:
    _, _, then = timed()
    rows = con.execute("select user_id, balance from features.timed order by user_id").fetchall()
    np.testing.assert_array_equal([b for _, b in rows], then.astype(np.float32))
    late = (
        "select count(*) from raw.timed_past join raw.timed using (user_id) where known_at > assigned_at"
    )
    assert con.execute(late).fetchone() == (0,)
