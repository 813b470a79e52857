"""Tables of databases: read whole, by name of a connection, without a password in any message."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.sources.tables import copy_table, uri_of
from dagster_project.onboarding import check_experiment, new_experiment
from tests.postgres import PASSWORD, postgres
from tests.support import TO_PUBLISHED, few_rounds, run_job
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError, ExperimentError
from uplift_core.experiment.declaration import load_experiment
from uplift_core.experiment.sources import TableSource

USERS = 3_000
DRAW = random.Random(7)  # noqa: S311 - no secret
ROWS = [
    (
        f"K-{i:05}",
        DRAW.randrange(20, 70),
        DRAW.randrange(5),
        DRAW.choice(["control", "mail"]),
        int(DRAW.random() < 0.3),
    )
    for i in range(USERS)
]
CREATE = """
create table campaign (customer_id text, age integer, orders integer, arm text, bought integer)
"""


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The URI of each database with the table ``campaign``."""
    folder = tmp_path_factory.mktemp("databases")
    with sqlite3.connect(folder / "shop.sqlite") as lite:
        lite.execute(CREATE)
        lite.executemany("insert into campaign values (?, ?, ?, ?, ?)", ROWS)
    with duckdb.connect(str(folder / "shop.duckdb")) as duck:
        duck.execute(CREATE)
        duck.executemany("insert into campaign values (?, ?, ?, ?, ?)", ROWS[::-1])
    return {
        "lite": f"sqlite://{folder / 'shop.sqlite'}",
        "duck": f"duckdb://{folder / 'shop.duckdb'}",
    }


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URI of a PostgreSQL database with the table ``sales.campaign``."""
    with postgres() as uri:
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415

        with dbapi.connect(uri) as con, con.cursor() as cursor:
            cursor.execute("create schema sales")
            cursor.execute(CREATE.replace("campaign", "sales.campaign", 1))
            cursor.executemany("insert into sales.campaign values ($1, $2, $3, $4, $5)", ROWS)
            con.commit()
        yield uri


@pytest.fixture
def connections(databases: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The connections ``lite`` and ``duck``."""
    for name, uri in databases.items():
        monkeypatch.setenv(f"UPLIFT_CONNECTION_{name.upper()}", uri)
    return databases


@pytest.fixture
def pg(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The connection ``pg``."""
    monkeypatch.setenv("UPLIFT_CONNECTION_PG", server)
    return server


def source(connection: str, table: str = "campaign") -> TableSource:
    return TableSource(kind="table", connection=connection, table=table)


def check_copy(table: TableSource, folder: Path) -> None:
    copied = copy_table("shop", table, folder)
    read = pq.read_table(copied.path)
    assert read.column_names == ["customer_id", "age", "orders", "arm", "bought"]
    assert sorted(zip(*(column.to_pylist() for column in read.columns), strict=True)) == ROWS
    assert [path.name for path in folder.iterdir()] == ["shop.parquet"]


def test_a_table_is_copied_whole(connections: dict[str, str], tmp_path: Path) -> None:
    check_copy(source("lite"), tmp_path)
    check_copy(source("duck", "main.campaign"), tmp_path)


def test_a_table_of_postgresql_is_copied_whole(pg: str, tmp_path: Path) -> None:
    check_copy(source("pg", "sales.campaign"), tmp_path)


def test_an_experiment_on_a_table_is_that_on_its_file(
    connections: dict[str, str], pg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", str(tmp_path / "experiments"))
    file = tmp_path / "campaign.parquet"
    duckdb.connect(connections["duck"].removeprefix("duckdb://"), read_only=True).sql(
        f"copy (from campaign order by customer_id) to '{file}'"
    )
    models, arms = {}, {}
    places = {"pg": ["sales.campaign", "--connection", "pg"], "file": [str(file)]}
    for kind, (name, *options) in places.items():
        assert new_experiment.main([name, "shop", *options, "--force"]) == 0
        folder = tmp_path / "experiments" / "shop"
        assert ('kind = "table"' in (folder / "experiment.toml").read_text()) == (kind == "pg")
        assert check_experiment.main(["shop"]) == 0
        declared = few_rounds(BatchExperiment.read(load_experiment(folder), folder))
        home = Home(tmp_path / kind)

        run_job(declared, home.root, only=TO_PUBLISHED)
        (bundle,) = home.bundles.iterdir()
        models[kind] = {path.name: path.read_bytes() for path in bundle.glob("*.ubj")}
        assert models[kind]
        with duckdb.connect(str(home.warehouse), read_only=True) as con:
            sql = "select arm, count(*), sum(bought) from assignment.shop group by all order by all"
            arms[kind] = con.sql(sql).fetchall()
        # The copy of the table is gone, and nothing of the home holds the password.
        assert not [*home.sources.glob("*")]
        for path in home.root.rglob("*"):
            assert path.is_dir() or PASSWORD.encode() not in path.read_bytes(), path
    assert arms["pg"] == arms["file"]
    assert models["pg"] == models["file"]


def check_refusal(connection: str, folder: Path) -> None:
    words = rf"connection = '{connection}'.* 'nowhere'.*nowhere"
    with pytest.raises(DataError, match=words) as told:
        copy_table("shop", source(connection, "nowhere"), folder)
    assert PASSWORD not in str(told.value)
    assert told.value.__cause__ is None
    assert not list(folder.iterdir())


def test_a_wrong_table_is_told(connections: dict[str, str], tmp_path: Path) -> None:
    check_refusal("lite", tmp_path)
    check_refusal("duck", tmp_path)


def test_a_wrong_table_or_password_of_postgresql_is_told_without_the_password(
    pg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_refusal("pg", tmp_path)
    wrong = pg.replace(PASSWORD, "wrong-0815")
    for uri, words in (
        (wrong, "password authentication failed"),
        (wrong.replace("127.0.0.1", "nowhere.invalid"), r"nowhere\.invalid"),
    ):
        monkeypatch.setenv("UPLIFT_CONNECTION_PG", uri)
        with pytest.raises(DataError, match=words) as refused:
            copy_table("shop", source("pg", "sales.campaign"), tmp_path)
        assert "wrong-0815" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_missing_file_or_driver_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPLIFT_CONNECTION_LITE", f"sqlite://{tmp_path}/missing.sqlite")
    with pytest.raises(DataError, match="cannot be read"):
        copy_table("shop", source("lite"), tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("UPLIFT_CONNECTION_SNOW", "snowflake://user:password@account/db")
    with pytest.raises(DataError, match="needs the package adbc-driver-snowflake; install it"):
        copy_table("shop", source("snow"), tmp_path)


def test_connections_are_in_the_environment_or_in_a_private_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"'shop' is unknown; set UPLIFT_CONNECTION_SHOP to its URI"):
        uri_of("mail", "shop")
    file = tmp_path / "connections.toml"
    file.write_text('shop = "sqlite:///data/shop.sqlite"\n')
    file.chmod(0o644)
    monkeypatch.setenv("UPLIFT_CONNECTIONS_FILE", str(file))
    with pytest.raises(DataError, match=r"other accounts may read it; run chmod 600"):
        uri_of("mail", "shop")
    file.chmod(0o600)
    assert uri_of("mail", "shop") == "sqlite:///data/shop.sqlite"
    file.write_text("shop: yaml")
    with pytest.raises(DataError, match="cannot be read"):
        uri_of("mail", "shop")


def test_a_table_has_a_plain_name(connections: dict[str, str]) -> None:
    with pytest.raises(ExperimentError, match="name a connection in lower-case letters, and a table"):
        new_experiment.main(["a table; drop", "shop", "--connection", "lite"])
