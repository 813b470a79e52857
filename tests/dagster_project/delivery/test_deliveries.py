"""Deliveries: tables, folders and webhooks get each list once, whole, and nobody else's users."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.nights import campaigns
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.deliver import Delivered, Deliveries
from dagster_project.delivery.export import UserIds, export_treat_list, files_to_treat
from dagster_project.delivery.export_files import write_whole
from dagster_project.delivery.stores import LocalStore
from dagster_project.delivery.targets import table as table_target
from tests.dagster_project.delivery.shop import shop_of
from tests.postgres import PASSWORD, postgres
from tests.receiver import json_server
from tests.support import opened, run_job, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.experiment.deliveries import Delivery
from uplift_core.targeting.budget import Budget

DELIVERIES = TypeAdapter(list[Delivery])


def shop(root: Path, *deliveries: dict[str, Any]) -> BatchExperiment:
    """The shop with these deliveries declared."""
    declared = tuple(DELIVERIES.validate_python(list(deliveries)))
    return with_experiment(shop_of(root), delivery=declared)


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """The shop's folder and a home of its finished run that the test may change."""
    shutil.copytree(made / "own", tmp_path / "own")
    shutil.copytree(made / "uplift", tmp_path / "uplift", symlinks=True)
    return tmp_path


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URI of a PostgreSQL database with the schema ``crm``."""
    with postgres() as uri:
        rows_in(uri, "create schema crm")
        yield uri


@pytest.fixture
def crm(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The connection ``crm``, whose tables are gone."""
    for table in ("treat", "treat_deliveries"):
        rows_in(server, f"drop table if exists crm.{table}")
    monkeypatch.setenv("UPLIFT_CONNECTION_CRM", server)
    return server


def rows_in(uri: str, sql: str) -> list[tuple[Any, ...]]:
    from adbc_driver_postgresql import dbapi  # noqa: PLC0415

    with dbapi.connect(uri, autocommit=True) as con, con.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if sql.startswith("select") else []


def deliver(
    root: Path, experiment: BatchExperiment, date: str = ""
) -> tuple[list[Delivered], list[str]]:
    home = Home(root / "uplift")
    with opened(home) as db:
        day = date or newest(root)
        return Deliveries(db, experiment, LocalStore(home.exports), home).deliver(day)


def newest(root: Path) -> str:
    return max(path.name for path in (root / "uplift" / "exports" / "shop").iterdir())


def treated(root: Path) -> set[str]:
    """Whom the exported list treats."""
    home = Home(root / "uplift")
    with opened(home) as db:
        (key,) = campaigns(db, "shop", newest(root))
    (file,) = files_to_treat(LocalStore(home.exports), key, "parquet")
    return {row[0] for row in duckdb.sql(f"select customer from read_parquet('{file}')").fetchall()}


def make_again(root: Path, share: float) -> None:
    """Make and export the newest list again, with another budget."""
    home, experiment = Home(root / "uplift"), shop_of(root)
    with opened(home) as db:
        order = ListOrder(newest(root), "mail", Budget(share=share), override="a test")
        write_treat_list(db, experiment, order, assign_roles)
        (key,) = campaigns(db, "shop", newest(root))
        ids = UserIds("customer", experiment.target_users.raw)
        export_treat_list(db, LocalStore(home.exports), key, write_sheet=write_whole, ids=ids)


TABLE = {"name": "crm", "kind": "table", "connection": "crm", "table": "crm.treat"}


def test_a_table_has_the_users_to_treat_once(root: Path, crm: str) -> None:
    experiment = shop(root, TABLE)
    (first,), failed = deliver(root, experiment)
    assert not failed
    rows = rows_in(crm, "select customer, arm, campaign, experiment, rank from crm.treat")
    assert {row[0] for row in rows} == treated(root)
    assert {row[1:4] for row in rows} == {("mail", "mail", "shop")}
    assert first.users == len(rows) == len(treated(root))
    (again,), failed = deliver(root, experiment)
    assert (again.users, failed) == (None, [])
    assert rows_in(crm, "select customer, arm, campaign, experiment, rank from crm.treat") == rows
    assert rows_in(crm, "select users from crm.treat_deliveries") == [(first.users,)]


def test_a_list_that_is_made_again_takes_the_place_of_the_earlier_one(root: Path, crm: str) -> None:
    experiment = shop(root, TABLE)
    deliver(root, experiment)
    before = treated(root)
    rows_in(crm, "insert into crm.treat (customer, experiment) values ('other', 'another')")
    make_again(root, 0.1)
    assert treated(root) < before
    deliver(root, experiment)
    rows = rows_in(crm, "select customer from crm.treat")
    assert {row[0] for row in rows} == treated(root) | {"other"}
    assert len(rows) == len(treated(root)) + 1


@pytest.mark.parametrize("step", range(1, 10))
def test_a_delivery_that_is_killed_leaves_the_earlier_list(
    root: Path, crm: str, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed before each statement in turn; the next run delivers the rest."""
    experiment = shop(root, TABLE)
    deliver(root, experiment)
    before = rows_in(crm, "select customer from crm.treat order by 1")
    make_again(root, 0.1)
    driver = table_target.driver_of("postgresql")

    class Killed(BaseException):
        pass

    def dies(cursor: Any, count: Iterator[int]) -> None:
        for name in ("execute", "adbc_ingest"):
            original = getattr(cursor, name)

            def counted(*args: Any, original: Any = original, **options: Any) -> Any:
                if next(count) == step:
                    raise Killed
                return original(*args, **options)

            setattr(cursor, name, counted)

    class Driver:
        @staticmethod
        @contextmanager
        def connect(uri: str) -> Iterator[Any]:
            with driver.connect(uri) as con:
                make, count = con.cursor, iter(range(1, 100))

                def cursor() -> Any:
                    made = make()
                    dies(made, count)
                    return made

                con.cursor = cursor
                yield con

    with monkeypatch.context() as patch:
        patch.setattr(table_target, "driver_of", lambda _: Driver)
        with pytest.raises(Killed):
            deliver(root, experiment)
    assert rows_in(crm, "select customer from crm.treat order by 1") == before
    deliver(root, experiment)
    assert {row[0] for row in rows_in(crm, "select customer from crm.treat")} == treated(root)


def test_the_tool_gets_its_columns_in_its_order(root: Path, crm: str) -> None:
    columns = {"rank": "priority", "customer": "customer_number", "city_name": "name"}
    experiment = shop(root, TABLE | {"add": ["name"], "columns": {**columns, "name": "full_name"}})
    _, (failure,) = deliver(root, experiment)
    assert "delivery 'crm': columns names 'city_name'" in failure
    assert "choose among ['customer', 'arm'" in failure
    columns = {"rank": "priority", "customer": "customer_number", "name": "full_name"}
    deliver(root, shop(root, TABLE | {"add": ["name"], "columns": columns}))
    of_table = "from information_schema.columns where table_name = 'treat' order by ordinal_position"
    assert [row[0] for row in rows_in(crm, f"select column_name {of_table}")] == [
        *("priority", "customer_number", "full_name"),
        *("experiment", "campaign", "decision_date"),
    ]
    for number, name in rows_in(crm, "select customer_number, full_name from crm.treat"):
        assert name in {f"name of {int(number.removeprefix('customer-'))}", "canary-name-zq81"}


def test_a_table_that_lacks_a_column_is_told_and_keeps_its_rows(root: Path, crm: str) -> None:
    deliver(root, shop(root, TABLE))
    before = rows_in(crm, "select customer from crm.treat")
    _, (failure,) = deliver(root, shop(root, TABLE | {"add": ["age"]}))
    assert "delivery 'crm'" in failure
    assert '"age"' in failure
    assert rows_in(crm, "select customer from crm.treat") == before


def test_no_failure_shows_the_password_and_others_are_made(
    root: Path, crm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = crm.replace(PASSWORD, "canary-wrong")
    monkeypatch.setenv("UPLIFT_CONNECTION_WRONG", wrong)
    monkeypatch.setenv("UPLIFT_CONNECTION_DOWN", "postgresql://a:canary-down@127.0.0.1:9/x")
    others = [TABLE | {"name": name, "connection": name} for name in ("wrong", "down", "nowhere")]
    done, failed = deliver(root, shop(root, *others, TABLE))
    assert [each.delivery for each in done] == ["crm"]
    assert [failure.partition("'")[2].partition("'")[0] for failure in failed] == [
        *("wrong", "down", "nowhere")
    ]
    assert "UPLIFT_CONNECTION_NOWHERE" in failed[2]
    told = json.dumps(failed)
    assert not any(canary in told for canary in ("canary-wrong", "canary-down", PASSWORD))


def test_a_folder_has_one_file_and_success_after_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPLIFT_CONNECTION_SFTP", str(tmp_path / "outgoing"))
    experiment = shop(root, {"name": "files", "kind": "folder", "connection": "sftp"})
    (first,), _ = deliver(root, experiment)
    folder = tmp_path / "outgoing" / "shop" / newest(root) / "mail"
    assert sorted(path.name for path in folder.iterdir()) == ["_SUCCESS", "treat.csv"]
    lines = (folder / "treat.csv").read_text().splitlines()
    assert lines[0].startswith("customer,arm,")
    assert {line.partition(",")[0] for line in lines[1:]} == treated(root)
    assert first.users == len(lines) - 1
    written = (folder / "treat.csv").stat().st_mtime_ns
    (again,), _ = deliver(root, experiment)
    assert again.users is None
    assert (folder / "treat.csv").stat().st_mtime_ns == written
    (folder / "treat.csv").unlink()
    (mended,), _ = deliver(root, experiment)
    assert mended.users == first.users


def test_an_object_store_gets_the_file_once(
    root: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPLIFT_CONNECTION_BUCKET", s3)
    bucket = {"name": "bucket", "kind": "folder", "connection": "bucket", "format": "parquet"}
    missing = bucket | {"name": "missing", "connection": "missing"}
    monkeypatch.setenv("UPLIFT_CONNECTION_MISSING", "s3://nobody/lists")
    (first,), (failure,) = deliver(root, shop(root, missing, bucket))
    assert "delivery 'missing': connection 'missing'" in failure
    files = fsspec.filesystem("s3")
    folder = f"bucket/lists/shop/{newest(root)}/mail"
    assert [Path(name).name for name in files.ls(folder)] == ["_SUCCESS", "treat.parquet"]
    with files.open(f"{folder}/treat.parquet") as file:
        assert set(pq.read_table(file).column("customer").to_pylist()) == treated(root)
    (again,), _ = deliver(root, shop(root, bucket))
    assert (first.users, again.users) == (len(treated(root)), None)


def test_hashed_addresses_are_those_of_trimmed_lower_case(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPLIFT_CONNECTION_ADS", str(tmp_path / "ads"))
    with opened(Home(root / "uplift")) as db:
        db.rows("alter table raw.shop add column mail text")
        db.rows(
            "update raw.shop set mail = if(age % 2 = 0, ' Ann.' || customer || '@Shop.EXAMPLE ', '-')"
        )
    experiment = shop(
        root,
        {
            "name": "ads",
            "kind": "folder",
            "connection": "ads",
            "preset": "customer_match",
            "email": "mail",
        },
    )
    _, failed = deliver(root, experiment)
    assert not failed
    file = tmp_path / "ads" / "shop" / newest(root) / "mail" / "treat.csv"
    header, *hashes = file.read_text().splitlines()
    with opened(Home(root / "uplift")) as db:
        even = {row[0] for row in db.rows("select customer from raw.shop where age % 2 = 0")}
    addresses = (f"ann.{customer}@shop.example" for customer in treated(root) & even)
    assert header == "Email"
    assert hashes == sorted(hashlib.sha256(a.encode()).hexdigest() for a in addresses)


def test_braze_reads_the_treatment_of_those_who_entered_and_null_for_those_who_left(
    root: Path, crm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = {"preset": "braze", "form": "changes"}
    monkeypatch.setenv("UPLIFT_CONNECTION_BUCKET", str(tmp_path / "bucket"))
    files = {"name": "files", "kind": "folder", "connection": "bucket"} | preset
    _, failed = deliver(root, shop(root, TABLE | preset, files))
    assert not failed
    rows = rows_in(
        crm, 'select "EXTERNAL_ID", "PAYLOAD", "UPDATED_AT" is not null, campaign from crm.treat'
    )
    assert {row[0] for row in rows} == treated(root)
    assert {row[1:] for row in rows} == {('{"uplift_mail":"mail"}', True, "mail")}
    file = tmp_path / "bucket" / "shop" / newest(root) / "mail" / "changes.csv"
    assert file.read_text().splitlines()[0] == "EXTERNAL_ID,PAYLOAD"


def test_a_webhook_is_told_once_of_the_list_and_of_no_user(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = shop(root, {"name": "hook", "kind": "webhook", "connection": "hook"})
    with json_server(lambda n: [503, 200][n]) as (port, calls):
        monkeypatch.setenv("UPLIFT_CONNECTION_HOOK", f"http://127.0.0.1:{port}/canary-token")
        monkeypatch.setattr("dagster_project.delivery.targets.webhook.WAITS", (0.0, 0.0, 0.0))
        (told,), failed = deliver(root, experiment)
        deliver(root, experiment)
    assert not failed
    assert told.users == len(treated(root))
    assert len(calls) == 2, "one attempt that failed, one that did not; nothing on the second run"
    (first_key, first_body), (key, body) = ((c.headers["Idempotency-Key"], c.body) for c in calls)
    assert (first_key, first_body) == (key, body)
    assert len(key) == 64
    assert body["treated"] == len(treated(root))
    assert body["manifest"].endswith("mail/manifest.json")
    assert not any(customer in json.dumps(body) for customer in treated(root))


def test_a_webhook_that_refuses_is_not_asked_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = shop(root, {"name": "hook", "kind": "webhook", "connection": "hook"})
    with json_server(lambda _: 403) as (port, calls):
        monkeypatch.setenv("UPLIFT_CONNECTION_HOOK", f"http://127.0.0.1:{port}/canary-token")
        _, (failure,) = deliver(root, experiment)
    assert len(calls) == 1
    assert "403" in failure
    assert "canary-token" not in failure


def test_the_night_delivers(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPLIFT_CONNECTION_SFTP", str(tmp_path / "outgoing"))
    experiment = shop(root, {"name": "files", "kind": "folder", "connection": "sftp"})
    only = ["treat_list", "export", "delivered", "published"]
    config = {"treat_list": {"override": "a test"}}
    assert run_job(experiment, root / "uplift", only=only, config=config).success
    assert (tmp_path / "outgoing" / "shop" / newest(root) / "mail" / "_SUCCESS").is_file()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({**TABLE, "preset": "braze", "form": "all"}, "choose one of ['treat', 'changes']"),
        ({**TABLE, "columns": {"arm": "x", "rank": "x"}}, "two columns become 'x'"),
        ({**TABLE, "table": "a b"}, "table"),
        ({**TABLE, "kind": "folder", "table": None}, "Extra inputs"),
        (
            {"name": "a", "kind": "folder", "connection": "c", "preset": "customer_match"},
            "email names the raw column",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=r"error") as refused:
        DELIVERIES.validate_python([wrong])
    assert words in str(refused.value)
