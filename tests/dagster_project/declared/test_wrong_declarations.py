"""A wrong declaration is refused; the message names the key, its value and the remedy."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.experiments import experiment_folders
from dagster_project.inputs.own_files import own_file
from dagster_project.inputs.population import compute_features, load_population
from dagster_project.inputs.raw import create_by, load_raw
from dagster_project.settings import Settings
from dagster_project.warehouse.connection import Warehouse
from uplift_core.errors import UpliftError
from uplift_core.experiment.declaration import load_experiment

TOML = """name = "shop"
title = "Shop"
description = "Three users."
user_id = "customer"
arm_column = "grp"
control = "none"
assigned_at = "day"

[[arms]]
name = "none"
value = "N"
share = 0.5

[[arms]]
name = "mail"
value = "M"
share = 0.5

[[outcomes]]
name = "visit"
kind = "binary"

[split]
salt = "shop-1"

[defaults]
arm = "mail"
outcome = "visit"
budget = 0.3

[tables.past]
path = "past.csv"
available_at = "known"

[source]
kind = "own_file"
path = "users.csv"
"""
RAW = "select customer::bigint as user_id, * from read_csv($source)"
FEATURES = "select user_id, age::float as age from raw.shop"
USERS = {
    "customer": [7, 8, 9],
    "age": [30, 40, 50],
    "grp": ["N", "M", "M"],
    "day": ["2026-01-02"] * 3,
    "visit": [0, 1, 0],
}
PAST = {"customer": [7, 8], "known": ["2026-01-01", "2026-01-03"], "balance": [1.5, 2.5]}


def write(root: Path, toml: str = TOML, raw: str = RAW, features: str = FEATURES) -> Path:
    folder = root / "shop"
    folder.mkdir()
    (folder / "experiment.toml").write_text(toml, encoding="utf-8")
    (folder / "raw.sql").write_text(raw, encoding="utf-8")
    (folder / "features.sql").write_text(features, encoding="utf-8")
    pc.write_csv(pa.table(USERS), folder / "users.csv")
    pc.write_csv(pa.table(PAST), folder / "past.csv")
    return folder


def load(db: Warehouse, place: Path) -> BatchExperiment:
    """Run every step that reads a declaration, up to the features."""
    experiment = BatchExperiment.read(load_experiment(place), place)
    source = own_file(experiment.name, "source.path", place, experiment.declaration.source.path)
    load_raw(db, experiment, source)
    create_by(db, experiment.tables.features, experiment.features_sql.text, where="shop: features.sql")
    return experiment


def test_the_declaration_is_right_before_it_is_made_wrong(db: Warehouse, tmp_path: Path) -> None:
    load(db, write(tmp_path))
    # The row of user 8 became known after the assignment.
    assert db.rows("from raw.shop_past") == [(7, *db.one("select date '2026-01-01'"), 1.5)]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "Shop"', 'titel = "Shop"', ["'titel' = 'Shop'", "write 'title'"]),
        ('title = "Shop"', "title = 7", ["key 'title' = 7", "put it in quotes"]),
        ('title = "Shop"', "title = Shop", ["no valid TOML", "line 2", "correct that line"]),
        ('name = "shop"', 'name = "shops"', ["name = 'shops'", "must equal the folder's name"]),
        ('name = "none"', 'name = "No mail"', ["arms.0.name' = 'No mail'", "lower-case", "rename"]),
        ("share = 0.5", "share = 0.4", ["shares add up to 0.900000", "must be 1"]),
        ("share = 0.5", "share = 50", ["arms.0.share' = 50", "must be less than 1"]),
        ("share = 0.5", 'share = "half"', ["arms.0.share' = 'half'", "such as 0.85"]),
        ("share = 0.5\n", "", ["'arms.0.share' is missing", "add it"]),
        ('value = "N"', 'value = "M"', ["arms", "two arms share one value"]),
        ('control = "none"', 'control = "no"', ["control 'no'", "none of the arms", "mail"]),
        ('kind = "binary"', 'kind = "flag"', ["outcomes.0.kind' = 'flag'", "'binary', 'count'"]),
        ("budget = 0.3", "budget = 30", ["defaults.budget' = 30", "less than 1"]),
        ('salt = "shop-1"', 'salt = "s"\nfolds = 2', ["split.folds' = 2", "3 or more"]),
        ('outcome = "visit"', 'outcome = "buy"', ["defaults.outcome 'buy'", "['visit']"]),
        ('kind = "own_file"', 'kind = "s3"', ["source", "kind 's3'", "'own_file'"]),
        ('path = "users.csv"', 'path = "user.csv"', ["source.path = 'user.csv'", "correct the path"]),
        ('path = "past.csv"', 'path = "p.csv"', ["tables.past.path = 'p.csv'", "correct the path"]),
        ('arm_column = "grp"', 'arm_column = "arm"', ["arm_column = 'arm'", "correct the key", "grp"]),
        (
            'kind = "binary"',
            'kind = "binary"\ncolumn = "v"',
            ["column = 'v'", "correct the key", "visit"],
        ),
        ('user_id = "customer"', 'user_id = "id"', ["user_id = 'id'", "correct the key", "customer"]),
        (
            'user_id = "customer"',
            'user_id = "row_number"',
            ["user_id = 'row_number'", "name the column"],
        ),
        ('assigned_at = "day"\n', "", ["tables.past", "assigned_at", "add it"]),
        ('assigned_at = "day"', 'assigned_at = "age"', ["assigned_at = 'age'", "BIGINT", "cast it"]),
        (
            'available_at = "known"',
            'available_at = "k"',
            ["available_at = 'k'", "choose one of", "known"],
        ),
        (
            'available_at = "known"',
            'available_at = "balance"',
            ["'balance' is DOUBLE", "cast it in past.sql"],
        ),
        ('assigned_at = "day"', 'assigned_at = "day"\npropensities = "fit"', ["'fit'", "'estimate'"]),
        (
            "[tables.past]",
            '[decisions]\nunit = "cluster"\n\n[tables.past]',
            ["decisions.unit = 'cluster'", "declare cluster", "remove it"],
        ),
        (
            "[tables.past]",
            '[decisions]\nunit = "home"\n\n[tables.past]',
            ["'home'", "'user' or 'cluster'"],
        ),
        ('assigned_at = "day"', 'assigned_at = "day"\ncluster = "home"', ["cluster = 'home'", "grp"]),
        ('assigned_at = "day"', 'assigned_at = "day"\ncluster = "grp"', ["cluster = 'grp'", "the arm"]),
        ('assigned_at = "day"', 'assigned_at = "day"\ncluster = "customer"', ["remove it"]),
        ('assigned_at = "day"', 'assigned_at = "day"\ncluster = "age"', ["reads 'age'", "the cluster"]),
    ],
)
def test_a_wrong_key_is_refused(
    db: Warehouse, tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    assert old in TOML
    with pytest.raises(UpliftError) as caught:
        load(db, write(tmp_path, TOML.replace(old, new, 1)))
    assert [word for word in ["shop", *words] if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"raw": "select nobody from read_csv($source)"},
            ["users.csv cannot be read by raw.sql", "nobody", "correct raw.sql"],
        ),
        ({"raw": "select * from read_csv($source)"}, ["user_id as nothing", "BIGINT", "hash a text"]),
        ({"features": "select user_id, agee::float as a from raw.shop"}, ["features.sql fails", "agee"]),
        ({"features": "select user_id, customer::float as a from raw.shop"}, ["'customer'", "ids"]),
        ({"features": "select user_id, visit::float as a from raw.shop"}, ["'visit'", "an outcome"]),
        ({"features": "select user_id, 1::float as a from raw.other"}, ["raw.other", "raw.shop_past"]),
        (
            {"features": "select user_id, age::float as a from raw.shop join raw.shop_past on true"},
            ["reads 'age' without naming its table", "<table's alias>.age"],
        ),
    ],
)
def test_wrong_sql_is_refused(
    db: Warehouse, tmp_path: Path, files: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(UpliftError) as caught:
        load(db, write(tmp_path, **files))
    assert [word for word in ["shop", *words] if word not in str(caught.value)] == []


def test_folders_are_found_in_all_roots_and_a_missing_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write(tmp_path / "a")
    names = [f.name for f in experiment_folders(Settings(experiments=f"{tmp_path}/a:{tmp_path}/b"))]
    assert names == ["criteo", "hillstrom", "shop", "simulated"]
    with pytest.raises(UpliftError, match=r"UPLIFT_EXPERIMENTS names .*/c, which is no folder"):
        experiment_folders(Settings(experiments=f"{tmp_path}/c"))
    write(tmp_path / "b")
    with pytest.raises(UpliftError, match="shop: declared twice"):
        experiment_folders(Settings(experiments=f"{tmp_path}/a:{tmp_path}/b"))


HISTORY = '\n[tables.past]\npath = "past.csv"\navailable_at = "known"\n'
OTHERS = '\n[population]\npath = "crm.csv"\n'
LISTED = TOML.replace('assigned_at = "day"\n', "").replace(HISTORY, "") + OTHERS
CRM = {"customer": [11, 7], "age": ["20", "60"], "plan": ["a", "b"]}


def load_others(db: Warehouse, place: Path, crm: dict[str, list] | None = None) -> BatchExperiment:
    """Run every step that reads a population."""
    pc.write_csv(pa.table(crm or CRM), place / "crm.csv")
    experiment = load(db, place)
    path = experiment.declaration.population.path
    load_population(db, experiment, own_file(experiment.name, "population.path", place, path))
    compute_features(db, experiment)
    return experiment


def test_a_population_has_features_by_the_same_sql_and_own_ids(db: Warehouse, tmp_path: Path) -> None:
    experiment = load_others(db, write(tmp_path, LISTED))
    assert db.rows(f"from {experiment.tables.population.raw}") == [(60, 7, 7), (20, 11, 11)]
    assert db.rows(f"from {experiment.tables.population.features}") == [(7, 60.0), (11, 20.0)]
    assert db.count(experiment.tables.raw) == 3  # the experiment's users are unchanged
    assert db.one(f"select max(age) from {experiment.tables.raw}") == (50,)


def test_a_population_may_have_sql_of_its_own(db: Warehouse, tmp_path: Path) -> None:
    place = write(tmp_path, LISTED)
    sql = "select customer + 100 as user_id, customer, age::bigint + 1 as age from read_csv($source)"
    (place / "population.sql").write_text(sql, encoding="utf-8")
    experiment = load_others(db, place)
    assert db.rows(f"from {experiment.tables.population.features}") == [(107, 61.0), (111, 21.0)]


def test_a_population_has_the_cluster_of_each_user(db: Warehouse, tmp_path: Path) -> None:
    toml = LISTED.replace('control = "none"', 'control = "none"\ncluster = "day"')
    place = write(tmp_path, toml)
    with pytest.raises(UpliftError, match=r"crm\.csv lacks column 'day'"):
        load_others(db, place)
    days = CRM | {"day": ["2026-01-02", "2026-01-03"]}
    experiment = load_others(db, place, days)
    clusters = db.rows(f"select user_id, day::varchar from {experiment.tables.population.raw}")
    assert clusters == [(7, "2026-01-03"), (11, "2026-01-02")]
    with pytest.raises(UpliftError, match=r"cluster = 'day' is missing in 1 rows of raw\.shop"):
        load_others(db, place, days | {"day": ["2026-01-02", None]})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('path = "crm.csv"', 'path = "cmr.csv"', ["population.path = 'cmr.csv'", "correct the path"]),
        ('path = "crm.csv"', 'file = "crm.csv"', ["population.file", "'crm.csv'"]),
        ('path = "crm.csv"', "path = 7", ["population.path' = 7"]),
        (
            'path = "crm.csv"',
            'path = "crm.csv"\nuser_id = "id"',
            ["population.user_id = 'id'", "choose one of customer, age"],
        ),
        (
            'user_id = "customer"',
            'user_id = "row_number"',
            ["population: user_id = 'row_number'", "name the column"],
        ),
        (
            OTHERS,
            f'assigned_at = "day"\n{HISTORY}{OTHERS}',
            ["population: tables.past", "leave out tables"],
        ),
    ],
)
def test_a_wrong_population_is_refused(
    db: Warehouse, tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    assert old in LISTED
    toml = LISTED.replace(old, new, 1)
    if "assigned_at" in new:  # a top-level key, which would belong to a table if it came later
        toml = toml.replace('assigned_at = "day"\n', "").replace(
            "\n[[arms]]", '\nassigned_at = "day"\n\n[[arms]]', 1
        )
    with pytest.raises(UpliftError) as caught:
        load_others(db, write(tmp_path, toml))
    assert [word for word in ["shop", *words] if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("crm", "sql", "words"),
    [
        ({"customer": [1]}, "", ["crm.csv lacks column 'age'", "let population.sql yield it"]),
        (CRM | {"age": ["old", "60"]}, "", ["types of raw.shop", "'old'", "cast in population.sql"]),
        (CRM | {"customer": [7, 7]}, "", ["2 rows", "1 that repeat one", "one row per user"]),
        (CRM | {"customer": [7, None]}, "", ["1 without a user_id", "one row per user"]),
        (CRM, "select nobody from read_csv($source)", ["population.path = 'crm.csv'", "nobody"]),
        (
            CRM,
            "select *, 1 as user_id from read_csv($source, names = ['customer', 'years'])",
            ["lacks column 'age'", "user_id"],
        ),
    ],
)
def test_a_wrong_file_of_a_population_is_refused(
    db: Warehouse, tmp_path: Path, crm: dict[str, list], sql: str, words: list[str]
) -> None:
    place = write(tmp_path, LISTED)
    if sql:
        (place / "population.sql").write_text(sql, encoding="utf-8")
    with pytest.raises(UpliftError) as caught:
        load_others(db, place, crm)
    assert [word for word in ["shop", *words] if word not in str(caught.value)] == []


def test_nobody_else_has_the_name_of_a_populations_tables(tmp_path: Path) -> None:
    write(tmp_path)
    other = tmp_path / "shop_population"
    (tmp_path / "shop").rename(other)
    declaration = (
        (other / "experiment.toml").read_text().replace('name = "shop"', f'name = "{other.name}"')
    )
    (other / "experiment.toml").write_text(declaration)
    (other / "features.sql").write_text(FEATURES.replace("raw.shop", f"raw.{other.name}"))
    write(tmp_path)
    with pytest.raises(UpliftError, match="shop_population: the tables of this name belong to shop's"):
        experiment_folders(Settings(experiments=str(tmp_path)))
