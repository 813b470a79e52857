import json
import shutil

import dagster as dg
import pytest

from dagster_project.definitions import build_definitions
from dagster_project.resources import Engine
from tests.support import QUIET, failure_text, small_simulation
from uplift_core.boosting.parameters import BoostingParameters

TUNED = {"ops": {"simulated__models": {"config": {"parameters": "tuned"}}}}
FEW = [
    BoostingParameters(rounds=rounds, max_depth=2, learning_rate=0.1, min_leaf_events=20)
    for rounds in (3, 30)
]


@pytest.fixture
def engine(simulated_home, tmp_path, monkeypatch) -> Engine:
    monkeypatch.setattr("uplift_core.learners.tuning.grid", lambda: FEW)
    shutil.copytree(simulated_home, tmp_path / "home")
    return Engine(home=str(tmp_path / "home"), threads=2, download=False)


def run(engine: Engine, job: str, **options) -> dg.ExecuteInProcessResult:
    definitions = build_definitions([small_simulation()], engine)
    return definitions.resolve_job_def(job).execute_in_process(raise_on_error=False, **options)


def test_models_train_with_what_tuning_chose(engine):
    assert run(engine, "tune_simulated", run_config=QUIET).success
    models = [dg.AssetKey(["simulated", "models"])]
    assert run(engine, "uplift_simulated", run_config=QUIET | TUNED, asset_selection=models).success
    with engine.warehouse() as db:
        trials = db.rows("select kind, parameters, chosen from models.tuning")
        current = db.rows("select distinct parameters from models.registry where is_current")
        judged = db.one("select distinct events from models.registry where is_current")
        others = db.one(
            "select min(events) from (select count(*) filter (converted <> 0) as events "
            "from assignment.simulated where split = 'train' and fold >= 2 group by arm)"
        )
    assert {kind for kind, _, _ in trials} == {"outcome", "effect", "s"}
    chosen = {kind: json.loads(parameters) for kind, parameters, chosen in trials if chosen}
    assert judged == others, "users who chose the parameters judge nothing"
    ((used,),) = current
    forest = small_simulation().declaration.learners.forest.model_dump()
    assert json.loads(used) == chosen | {"seed": 7, "max_bins": 64, "forest": forest}


def test_tuned_models_without_tuning_are_refused(engine):
    models = [dg.AssetKey(["simulated", "models"])]
    result = run(engine, "uplift_simulated", run_config=QUIET | TUNED, asset_selection=models)
    assert "run the job tune_simulated first" in failure_text(result)
