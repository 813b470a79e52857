"""A model with bags: standard errors in the batch's scores and, equal to the bit, in the answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from serve.routes.batch import ARROW
from tests.serve.support import api_of, copy_home, query
from tests.support import TO_PUBLISHED, run_job, small_simulation, with_experiment
from uplift_core.artifacts import bundle
from uplift_core.boosting.parameters import ForestParameters
from uplift_core.learners.bags import BaggedLearner

BAGS, USERS = 3, [1, 2, 17, 250]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    experiment, home = small_simulation(), tmp_path_factory.mktemp("bags") / "run"
    of_forest = ForestParameters(trees=10)
    learners = experiment.declaration.learners.model_copy(update={"bags": BAGS, "forest": of_forest})
    run_job(with_experiment(experiment, learners=learners), home, only=TO_PUBLISHED)
    return copy_home(home, tmp_path_factory.mktemp("bags") / "served")


@pytest.fixture(scope="module")
def api(served: Path) -> Iterator[TestClient]:
    with api_of(served) as client:
        yield client


@pytest.fixture(scope="module")
def written(served: Path) -> list[dict]:
    sql = "from scores.simulated where user_id in (select unnest($users)) order by user_id"
    return query(served, sql, users=USERS)


def test_the_bundle_has_the_bags(served: Path) -> None:
    (folder,) = (path for path in (served / "bundles").iterdir() if path.is_dir())
    loaded = bundle.load(folder)
    assert loaded.manifest.experiment.learners.bags == BAGS
    (model,) = loaded.models.values()
    stack = model.learners["stack"]
    assert isinstance(stack, BaggedLearner)
    assert len(stack.bags) == BAGS


def test_one_user_is_answered_as_in_the_batch_to_the_bit(api: TestClient, written: list[dict]) -> None:
    assert min(row["cate_std_error"] for row in written) > 0
    for row in written:
        answer = api.post("/score", json={"user_id": row["user_id"]}).json()
        assert answer["learner"] == "stack"
        for field, column in (("score", "cate_stack"), ("cate_std_error", "cate_std_error")):
            assert np.float32(answer[field]) == np.float32(row[column])


def test_many_users_are_answered_as_in_the_batch_to_the_bit(
    api: TestClient, written: list[dict]
) -> None:
    expected = np.asarray([row["cate_std_error"] for row in written], np.float32)
    answer = api.post("/score/batch", json={"user_ids": USERS})
    assert np.array_equal(np.asarray(answer.json()["cate_std_errors"], np.float32), expected)
    answer = api.post("/score/batch", json={"user_ids": USERS}, headers={"accept": ARROW})
    table = pa.ipc.open_stream(answer.content).read_all()
    assert np.array_equal(table.column("cate_std_error").to_numpy(), expected)


def test_a_learner_without_bags_has_no_standard_error(api: TestClient) -> None:
    body = {"user_ids": USERS, "learner": "x"}
    assert api.post("/score/batch", json=body).json()["cate_std_errors"] is None
    answer = api.post("/score", json={"user_id": 1, "learner": "x"}).json()
    assert answer["cate_std_error"] is None


def test_a_model_without_bags_has_none(simulated_api: TestClient, simulated_served: Path) -> None:
    assert simulated_api.post("/score", json={"user_id": 1}).json()["cate_std_error"] is None
    columns = {row["column_name"] for row in query(simulated_served, "describe scores.simulated")}
    assert "cate_std_error" not in columns
