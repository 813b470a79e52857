"""Once lists are made, no other hash and no other key turns users into other users."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.own_files import own_file
from dagster_project.inputs.raw import load_raw
from dagster_project.inputs.text_ids import refuse_changed_hash, refuse_unhashed
from dagster_project.onboarding import new_experiment
from dagster_project.onboarding.problems import problems_of
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.id_keys import key_for_trial, use_id_key
from tests.support import TESTS_KEY
from uplift_core.errors import DataError, ExperimentError
from uplift_core.experiment.declaration import load_experiment

N = 500
KEYED = 'id_hash = "keyed"'


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BatchExperiment:
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", str(tmp_path / "own"))
    columns = {
        "customer": [f"c{i}" for i in range(N)],
        "age": [20 + i % 50 for i in range(N)],
        "group": ["mail" if i % 2 else "control" for i in range(N)],
        "visit": [int(i % 3 == 0) for i in range(N)],
    }
    pc.write_csv(pa.table(columns), tmp_path / "file.csv")
    new_experiment.main([str(tmp_path / "file.csv"), "shop", "--shares", "control=0.5,mail=0.5"])
    return read(tmp_path / "own" / "shop")


def read(folder: Path) -> BatchExperiment:
    return BatchExperiment.read(load_experiment(folder), folder)


def by_md5(shop: BatchExperiment) -> BatchExperiment:
    """The folder as earlier versions drafted it."""
    toml, sql = shop.path / "experiment.toml", shop.path / "raw.sql"
    toml.write_text("\n".join(line for line in toml.read_text().splitlines() if KEYED not in line))
    hashed = '(md5_number_lower("customer") >> 1)::bigint'
    sql.write_text(sql.read_text().replace('raw.keyed_id("customer")', hashed))
    return read(shop.path)


def load(db: Warehouse, shop: BatchExperiment) -> None:
    load_raw(db, shop, own_file("shop", "source.path", shop.path, Path("../../file.csv")))


def decide(db: Warehouse) -> None:
    db.rows("insert into decisions.suppressions values ('shop', 1, 'left', null)")


def test_a_draft_hashes_texts_by_the_key(db: Warehouse, shop: BatchExperiment) -> None:
    load(db, shop)
    rows = db.rows("select customer, user_id from raw.shop")
    assert {user: TESTS_KEY.number(user) for user, _ in rows} == dict(rows)
    assert problems_of(shop.path) == []
    assert by_md5(shop).declaration.model_dump(mode="json").get("id_hash") is None


@pytest.mark.parametrize("first", ["md5", "keyed"])
def test_another_hash_is_refused_once_users_are_decided_about(
    db: Warehouse, shop: BatchExperiment, first: str
) -> None:
    load(db, shop)
    before, after = shop, shop
    if first == "md5":
        before = by_md5(shop)
        load(db, before)
    else:
        after = by_md5(shop)
    refuse_changed_hash(db, after)  # nothing is decided yet
    decide(db)
    refuse_changed_hash(db, before)
    with pytest.raises(ExperimentError, match=f"id_hash was '{first}' when lists were made"):
        refuse_changed_hash(db, after)


def test_another_key_is_refused_once_users_are_decided_about(
    db: Warehouse, shop: BatchExperiment
) -> None:
    load(db, shop)
    decide(db)
    use_id_key(db, key_for_trial())
    with pytest.raises(DataError, match=r"id_key of UPLIFT_HOME is not the one .* from a backup"):
        refuse_changed_hash(db, shop)


def test_sql_that_hashes_in_another_way_than_declared_is_refused(
    db: Warehouse, shop: BatchExperiment
) -> None:
    by_md5(shop)
    toml = shop.path / "experiment.toml"
    toml.write_text(toml.read_text().replace("arm_column", f"{KEYED}\narm_column", 1))
    wrong = read(shop.path)
    load(db, wrong)
    words = r'raw.sql yields another user_id; write raw.keyed_id\("customer"\) as user_id'
    with pytest.raises(ExperimentError, match=words):
        refuse_unhashed(db, wrong)
    assert any("yields another user_id" in problem for problem in problems_of(shop.path))
