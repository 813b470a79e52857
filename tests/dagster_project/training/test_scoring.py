"""A population is scored in chunks: never are all of its users in Python at once."""

from __future__ import annotations

import pytest

from dagster_project.training import scoring
from dagster_project.training.scoring import LARGEST_ID, SMALLEST_ID, score_population
from tests.support import make_table, memory_warehouse, small_simulation
from uplift_core.learners import LEARNER_NAMES
from uplift_core.learners.contrast import Predictions

CHUNK = 7
IDS = [SMALLEST_ID, -5, 0, *range(10, 400, 13), LARGEST_ID]


class FirstFeature:
    """A model that scores every user by their first feature."""

    def predict_all(self, x):
        score = x[:, 0]
        return Predictions(score / 2, score * 1.5, dict.fromkeys(LEARNER_NAMES, score))


@pytest.mark.parametrize("n", [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK, len(IDS)])
def test_every_user_is_scored_once_and_no_more_than_a_chunk_is_read(n, monkeypatch):
    monkeypatch.setattr(scoring, "CHUNK", CHUNK)
    experiment, db = small_simulation(), memory_warehouse()
    users = IDS[len(IDS) - n :]
    make_table(
        db,
        "features.simulated_population",
        "user_id bigint, x1 float",
        [(user, i) for i, user in enumerate(users)],
    )
    scores = ", ".join(f"cate_{name} float" for name in LEARNER_NAMES)
    db.rows(
        "create table scores.simulated (user_id bigint, arm varchar, split varchar, "
        f"{scores}, response float)"
    )
    read, arrow = [], db.arrow
    monkeypatch.setattr(db, "arrow", lambda *given: read.append(arrow(*given)) or read[-1])
    assert score_population(db, experiment, {"treated": FirstFeature()}, ("x1",)) == n
    rows = db.rows("select user_id, cate_r, response from scores.simulated_population order by all")
    assert rows == [(user, i, i / 2) for i, user in enumerate(users)]
    assert db.rows("select distinct split from scores.simulated_population") == [("population",)] * bool(
        n
    )
    assert max(table.num_rows for table in read) <= CHUNK
