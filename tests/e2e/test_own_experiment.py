"""Experiments that are not built in: file, list and /score, by the documented steps alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pytest
from fastapi.testclient import TestClient
from scipy.stats import spearmanr

from tests.e2e.own_experiments import offers, rare, timed
from tests.serve.support import api_of
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.id_key import read_id_key


@pytest.fixture(scope="module")
def home(own_home: Path) -> Path:
    return own_home


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
    (file,) = (home / "exports" / "offers").glob("*/*/*/decisions.csv")
    marked = duckdb.sql(
        'select "Customer ID", user_id from read_csv($file)', params={"file": str(file)}
    ).fetchall()
    key = read_id_key(Home(home))
    assert key is not None
    assert dict(marked) == {own_id: key.number(own_id) for own_id, _ in marked}
    assert len({*marked}) == 4_000
    treated = duckdb.sql("from read_csv($file)", params={"file": str(file.with_name("treat.csv"))})
    assert treated.columns == ["Customer ID", "arm", "campaign", "decision_date", "rank"]
    ids = {row[0] for row in treated.fetchall()}
    rows = con.execute(
        'select "Customer ID" from decisions.treat_list join raw.offers using (user_id) '
        "where experiment = 'offers' and treated"
    ).fetchall()
    assert ids == {row[0] for row in rows}
    assert len(ids) == 1_200


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


def test_no_other_account_can_read_a_file_of_the_home(
    home: Path, con: duckdb.DuckDBPyConnection
) -> None:
    assert con.execute("select count(*) from decisions.nights").fetchone()[0]
    modes = {path: path.lstat().st_mode & 0o077 for path in (home, *home.rglob("*"))}
    # The test itself shares the proof of other tests, and copies the snapshot.
    made_by_runs = {p: m for p, m in modes.items() if home / "proofs" not in (p, *p.parents)}
    assert not {str(path) for path, mode in made_by_runs.items() if mode}
