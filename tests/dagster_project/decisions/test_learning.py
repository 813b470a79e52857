"""Models learn from lists by the logged chances, and take over only if they beat the old ones."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from dagster_project.decisions.facts import ListOrder, feature_snapshot
from dagster_project.decisions.learning import LEARNED, Comparison, learn, take_over, write_lesson
from dagster_project.decisions.listed_rows import keep_features, kept_table, list_rows
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.registry import current_version
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from tests.support import dicts, opened, with_experiment
from uplift_core.artifacts import bundle
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.evaluation.estimate import Estimate
from uplift_core.experiment.arrivals import Arrivals
from uplift_core.experiment.decision_rules import Decisions
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.learning import Learning
from uplift_core.targeting.budget import Budget

LEARNING = Learning(nights=3, overlap=0.02)
NIGHTS = ("2026-01-01", "2026-01-02", "2026-01-03")
TARGET = Identifier.of("target")


@pytest.fixture(scope="module")
def lived(
    simulated_home: Path, simulated: BatchExperiment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Home, BatchExperiment]:
    """A home with three lists, on which the effect is the opposite of the experiment's."""
    home = Home(tmp_path_factory.mktemp("learning") / "home")
    shutil.copytree(simulated_home, home.root, symlinks=True)
    folder = with_experiment(
        simulated,
        decisions=Decisions(holdout=0.1, explore=0.4),
        arrivals=Arrivals(path=Path("none.csv"), within_days={"converted": 1}),
        learning=LEARNING,
    )
    rng = np.random.default_rng(5)
    with opened(home) as db:
        for night in NIGHTS:
            order = ListOrder(night, "treated", Budget(share=0.3), override="test")
            write_treat_list(db, folder, order, assign_roles)
            live(db, night, rng)
        db.rows(
            "insert into decisions.outcomes values "
            "('simulated', 'converted', 1, '2026-02-01', 0, '2026-02-01')"
        )
    return home, folder


def live(db: Warehouse, night: str, rng: np.random.Generator) -> None:
    """Draw each user's outcome: who gained in the experiment loses now, and the other way round."""
    rows = db.arrow(
        "select list.user_id, p0, true_cate, list.treated from decisions.treat_list as list "
        "join raw.simulated using (user_id) where decision_date = $night::date order by user_id",
        {"night": night},
    )
    p0, effect, treated = (rows.column(name).to_numpy() for name in ("p0", "true_cate", "treated"))
    chance = np.clip(p0 + 0.05 + treated * (0.1 - 2 * effect), 0, 1)
    happened = rng.random(len(p0)) < chance
    users = pa.table({"user_id": rows.column("user_id").to_numpy()[happened]})
    with db.relation("happened", users):
        db.rows(
            "insert into decisions.outcomes select 'simulated', 'converted', user_id, "
            "$night::timestamp + interval 1 hour, 1, $night::timestamp from happened",
            {"night": night},
        )


def test_effects_that_have_turned_are_seen_and_learned(lived: tuple[Home, BatchExperiment]) -> None:
    home, folder = lived
    with opened(home) as db:
        before = current_version(db, "simulated")
        lesson = learn(db, folder, LEARNING, bundle.load(home.bundles / before), 1)
        assert lesson.slope.ci_high < 0, "the old effects hold the other way round"
        assert lesson.counts.nights == 3
        assert lesson.from_experiment == db.count(folder.tables.assignment)
        assert lesson.comparison.difference.ci_low > 0
        assert lesson.replaces, lesson.reason
        version = take_over(db, home.bundles, folder, lesson)
        row = write_lesson(db, folder, lesson, version)
        assert current_version(db, "simulated") == version != before
        of_texts = "select distinct model_version from models.rule_texts where experiment = 'simulated'"
        assert db.rows(of_texts) == [(version,)], "exports write the rules of the models that decide"
        assert row["reason"].startswith("the new models take the place of the old ones")
        tables = [name for (name,) in db.rows("select table_name from duckdb_tables()")]
        assert not [name for name in tables if "pooled" in name], "nothing is left"
        assert len(dicts(db, f"from {LEARNED}")) == 1
        # Who is held out by the experiment trained no model.
        loaded = bundle.load(home.bundles / version)
        assert loaded.manifest.features == bundle.load(home.bundles / before).manifest.features
        kept = replace(lesson, comparison=Comparison(*[Estimate(0.01, 0.01)] * 3))
        assert not kept.replaces
        assert "are not shown to beat them (+0.01000 ± 0.01000" in kept.reason
        db.rows("rollback")
        db.rows("begin")


def test_users_without_a_contrast_or_features_are_left_out_and_counted(
    lived: tuple[Home, BatchExperiment],
) -> None:
    home, folder = lived
    with opened(home) as db:
        of_night = "where decision_date = date '2026-01-02' and user_id"
        chances = {"between 1 and 5": 0, "between 6 and 8": 1, "between 9 and 10": 0.001}
        for users, value in chances.items():
            db.rows(f"update decisions.treat_list set propensity = {value} {of_night} {users}")
        db.rows(f"update decisions.treat_list set feature_snapshot = 'gone' {of_night} = 20")
        counts = list_rows(db, folder, LEARNING, TARGET)
        some_left = counts.never + counts.always + counts.little_overlap + counts.lost_features
        assert (counts.never, counts.always, counts.lost_features) == (5, 3, 1)
        assert counts.little_overlap == 2
        assert counts.learned + some_left == counts.listed == 3 * db.count(folder.tables.raw)
        treated, logged = db.one(f"select sum(treated::int), sum(propensity) from {TARGET}")
        assert treated == pytest.approx(logged, rel=0.05), "chances say how many are treated"
        few = list_rows(db, folder, LEARNING.model_copy(update={"nights": 1}), TARGET)
        assert (few.nights, few.listed) == (1, db.count(folder.tables.raw))
        with pytest.raises(DataError, match="no night of campaign 'mail' has closed windows"):
            list_rows(db, folder, LEARNING.model_copy(update={"campaign": "mail"}), TARGET)
        db.rows("rollback")
        db.rows("begin")


def test_features_are_kept_as_they_stood(lived: tuple[Home, BatchExperiment]) -> None:
    home, folder = lived
    with opened(home) as db:
        keep_features(db, folder)
        keep_features(db, folder)
        table = kept_table(folder)
        assert db.count(table) == db.count(folder.tables.features)
        before, (first,) = feature_snapshot(db, folder), db.one(f"select min(x1) from {table}")
        db.rows("update raw.registry set sha256 = 'another file' where experiment = 'simulated'")
        db.rows(f"update {folder.tables.features} set x1 = x1 + 100")
        keep_features(db, folder)
        assert db.count(table) == 2 * db.count(folder.tables.features)
        kept = db.one(f"select min(x1) from {table} where feature_snapshot = $at", {"at": before})
        assert kept == (first,)
        db.rows("rollback")
        db.rows("begin")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arrivals": None}, r"every outcome must arrive, but \['converted'\] are not"),
        ({"decisions": Decisions(explore=0)}, "explore must be above 0"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    simulated: BatchExperiment, changes: dict[str, object], message: str
) -> None:
    arrivals = Arrivals(path=Path("none.csv"), within_days={"converted": 1})
    declared = simulated.declaration.model_copy(
        update={"arrivals": arrivals, "learning": LEARNING} | changes
    )
    values = {name: getattr(declared, name) for name in Experiment.model_fields}
    with pytest.raises(ValidationError, match=message):
        Experiment.model_validate(values)
