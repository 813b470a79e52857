"""Carry an earlier warehouse's ledger: no unsubscribed user is treated, no night is lost."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dagster_project.commands import carry_ledger
from dagster_project.decisions.carry import KEYS
from dagster_project.decisions.ledger import NightParts, write_parts
from dagster_project.decisions.realised import measure
from dagster_project.decisions.records import ListKey
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.settings import REPOSITORY
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from tests.support import SMALL, Open, failure_text, opened, run_job
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError, UpliftError

LATER = "2999-12-31"
ANOTHER_NIGHT = "2025-06-01"  # Dagster knows nights until today
UNSUBSCRIBED = 500
OPERATE = (REPOSITORY / "docs" / "operate.md").read_text(encoding="utf-8")

# The columns that a row had to have when the ledger was first carried.
REQUIRED_AT_FIRST = {
    "decisions.suppressions": "experiment user_id reason",
    "decisions.treat_list": (
        "decision_date experiment campaign user_id arm decision reason treated selected score "
        "threshold budget cost propensity learner model_version feature_snapshot"
    ),
    "decisions.treat_list_parts": "decision_date experiment campaign folder files ordered_files",
    "decisions.nights": (
        "decision_date experiment campaign arm learner model_version feature_snapshot budget_kind "
        "budget_asked budget_used users eligible treated explored holdout suppressed spent "
        "realised_rate threshold expected_rate threshold_rate entered exited"
    ),
    "decisions.gates": "decision_date experiment campaign gate passed limit message",
    "decisions.realised": (
        "decision_date experiment campaign outcome comparison n_treated n_control mean_treated "
        "mean_control uplift std_error ci_low ci_high"
    ),
    "decisions.night_arms": "decision_date experiment campaign arm treated explored spent changed",
    "decisions.realised_arms": (
        "decision_date experiment campaign outcome comparison arm n_treated n_control mean_treated "
        "mean_control uplift std_error ci_low ci_high"
    ),
    "models.registry": (
        "model_version experiment arm outcome learner parameters seed data_sha256 sql_sha256 "
        "bundle_sha256 libraries champion runner_up gate gate_reason budget gain_over_random "
        "gain_over_random_std_error gain_over_response gain_over_response_std_error n detectable_gain "
        "is_current trained_at"
    ),
    "models.cards": "model_version experiment card written_at",
    "models.tuning": "experiment arm outcome kind parameters loss std_error chosen",
    "models.learned": (
        "experiment learned_at campaign arm nights listed learned never always little_overlap "
        "lost_features from_experiment old_version old_learner new_learner gate gain gain_std_error "
        "old_gain old_gain_std_error difference difference_std_error replaced reason"
    ),
    "decisions.measured": "decision_date experiment campaign outcome user_id part selected y",
    "decisions.realised_over_time": (
        "decision_date experiment campaign outcome comparison first_date nights treatments n_treated "
        "n_control uplift std_error ci_low ci_high sequence_low sequence_high unadjusted "
        "unadjusted_std_error coefficient variance"
    ),
    "decisions.outcomes": "experiment outcome user_id moment y recorded",
    "decisions.outcome_files": (
        "experiment file sha256 outcomes new_outcomes corrected unknown_users read_at"
    ),
}


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPLIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UPLIFT_THREADS", "1")


@pytest.fixture
def lived(home: Home, simulated: BatchExperiment, tmp_path: Path) -> Home:
    """A home with a measured first night; 500 of its treated users have unsubscribed since then."""
    with opened(home) as db:
        users = db.arrow("select user_id from decisions.treat_list").column("user_id")
        (date,) = db.one("select decision_date::varchar from decisions.nights")
        converted = np.random.default_rng(1).integers(0, 2, len(users))
        file = tmp_path / "outcomes.parquet"
        pq.write_table(pa.table({"user_id": users, "converted": converted}), file)
        measure(db, simulated, decision_date=date, file=file, absent_is_zero=False)
        db.rows(
            "insert into decisions.suppressions select 'simulated', user_id, 'unsubscribed', null "
            f"from decisions.treat_list where treated order by user_id limit {UNSUBSCRIBED}"
        )
    return home


def make_earlier(home: Home, column: str = "decisions.nights.override") -> None:
    """Turn the warehouse into one of an earlier version that lacks a column."""
    schema, table, name = column.split(".")
    with duckdb.connect(str(home.warehouse)) as con:
        for constraint in ("", "_here"):
            if con.execute(
                "select 1 from duckdb_tables() where table_name = $name", {"name": table + constraint}
            ).fetchall():
                con.execute(f"alter table {schema}.{table}{constraint} drop column {name}")


def ledger(home: Home) -> dict[str, list[tuple]]:
    with opened(home) as db:
        return {".".join(place): db.rows(f"from {Identifier.of(*place)} order by all") for place in KEYS}


def test_as_documented_nobody_who_unsubscribed_is_treated_and_no_night_is_lost(
    lived: Home, simulated: BatchExperiment, snapshot: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message and docs/operate.md name the command; after it, the experiment runs."""
    before = ledger(lived)
    make_earlier(lived)
    result = run_job(simulated, lived.root, only=["raw"], raise_on_error=False)
    (command,) = re.findall(r"`(make carry-ledger FROM=\S+)`", failure_text(result))
    assert "make carry-ledger FROM=" in OPERATE
    assert carry_ledger.main([command.partition("FROM=")[2]]) == 0
    assert "decisions.suppressions: 500 rows carried, 500 now" in capsys.readouterr().out
    after = ledger(lived)
    with opened(lived) as db:
        place = [row[0] for row in db.rows("describe decisions.nights")].index("override")
    assert after["decisions.nights"] == [
        (*row[:place], None, *row[place + 1 :]) for row in before["decisions.nights"]
    ]
    assert {k: v for k, v in after.items() if k != "decisions.nights"} == {
        k: v for k, v in before.items() if k != "decisions.nights"
    }
    config = {"treat_list": {"override": "500 unsubscribed"}}
    run_job(simulated, lived.root, decision_date=ANOTHER_NIGHT, config=config)
    con = snapshot(lived.root)
    (treated,) = con.execute(
        "select count(*) from decisions.treat_list semi join decisions.suppressions "
        f"using (experiment, user_id) where treated and decision_date = '{ANOTHER_NIGHT}'"
    ).fetchone()
    assert treated == 0
    counts = [
        con.execute(f"select count(*) from decisions.{table}").fetchone()[0]
        for table in ("suppressions", "nights", "realised", "treat_list")
    ]
    assert counts == [UNSUBSCRIBED, 2, 2, 2 * SMALL]


def test_it_may_be_done_again_and_from_a_file_that_was_moved_by_hand(
    lived: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_earlier(lived)
    old = tmp_path / "old.duckdb"
    shutil.move(lived.warehouse, old)
    content = old.read_bytes()
    assert carry_ledger.main([str(old)]) == 0
    first = ledger(lived)
    assert len(first["decisions.suppressions"]) == UNSUBSCRIBED
    capsys.readouterr()
    assert carry_ledger.main([str(old)]) == 0
    assert ledger(lived) == first
    said = capsys.readouterr().out
    assert "decisions.suppressions: 0 rows carried, 500 were in the warehouse already, 500 now" in said
    assert old.read_bytes() == content


def test_what_the_new_warehouse_has_stays(lived: Home, tmp_path: Path) -> None:
    old = tmp_path / "old.duckdb"
    shutil.move(lived.warehouse, old)
    with duckdb.connect(str(old)) as con:
        night = con.execute("from decisions.nights").fetchone()
        (user,) = con.execute("select min(user_id) from decisions.suppressions").fetchone()
        columns = [row[0] for row in con.execute("describe decisions.nights").fetchall()]
        registry = con.execute("from models.registry").fetchall()
    marks = ", ".join("?" for _ in columns)
    with opened(lived) as db:
        changed = [
            77 if name == "treated" else value for name, value in zip(columns, night, strict=True)
        ]
        db.con.execute(f"insert into decisions.nights values ({marks})", changed)
        db.rows(f"insert into decisions.suppressions values ('simulated', {user}, 'moved', null)")
        marks = ", ".join("?" for _ in registry[0])
        db.con.execute(f"insert into models.registry values ({marks})", ["new", *registry[0][1:]])
        db.rows("update models.registry set is_current = true")
    assert carry_ledger.main([str(old)]) == 0
    with opened(lived) as db:
        assert db.rows("select treated from decisions.nights") == [(77,)]
        assert db.one("select count(*) from decisions.treat_list") == (0,)  # measured another list
        reasons = "select reason, count(*) from decisions.suppressions group by 1 order by 1"
        assert db.rows(reasons) == [("moved", 1), ("unsubscribed", UNSUBSCRIBED - 1)]
        current = db.rows("select distinct model_version from models.registry where is_current")
    assert current == [("new",)]


def change(sql: str) -> Callable[[Path], object]:
    def run(path: Path) -> None:
        with duckdb.connect(str(path)) as con:
            con.execute(sql)

    return run


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            change("alter table decisions.suppressions drop column reason"),
            ["decisions.suppressions.reason", "no default", "--without decisions.suppressions"],
        ),
        (
            change(
                "alter table decisions.realised alter n_treated drop not null; "
                "update decisions.realised set n_treated = null"
            ),
            ["decisions.realised.n_treated", "2 earlier rows have no value"],
        ),
        (
            change(
                "alter table decisions.nights alter treated type varchar; "
                "update decisions.nights set treated = '15 hundred'"
            ),
            ["decisions.nights.treated = '15 hundred'", "VARCHAR", "BIGINT"],
        ),
        (
            change(
                "alter table decisions.nights alter spent type varchar; "
                "update decisions.nights set spent = '12.50'"
            ),
            ["decisions.nights.spent = '12.50'", "would change"],
        ),
        (
            change(
                "create table copied as from decisions.suppressions; drop table decisions.suppressions; "
                "create table decisions.suppressions as from copied union all from copied"
            ),
            ["decisions.suppressions: earlier rows break a constraint"],
        ),
        (lambda path: path.write_bytes(b"no database" * 999), ["cannot be opened", "Is it a warehouse"]),
        (Path.unlink, ["there is no such file"]),
    ],
    ids=["not null", "gaps", "no number", "other number", "twice", "no database", "no file"],
)
def test_what_cannot_be_carried_rightly_is_refused_and_nothing_is(
    lived: Home, tmp_path: Path, damage: Callable[[Path], object], words: list[str]
) -> None:
    old = tmp_path / "old.duckdb"
    shutil.move(lived.warehouse, old)
    damage(old)
    with pytest.raises(UpliftError) as caught:
        carry_ledger.main([str(old)])
    assert [word for word in words if word not in str(caught.value)] == []
    assert not any(ledger(lived).values())


def test_a_refused_warehouse_is_put_back(lived: Home) -> None:
    make_earlier(lived, "decisions.suppressions.reason")
    content = lived.warehouse.read_bytes()
    with pytest.raises(DataError, match="no default"):
        carry_ledger.main([str(lived.warehouse)])
    assert lived.warehouse.read_bytes() == content
    assert [path.name for path in lived.root.glob("warehouse*")] == ["warehouse.duckdb"]
    assert carry_ledger.main([str(lived.warehouse), "--without", "decisions.suppressions"]) == 0
    assert len(ledger(lived)["decisions.nights"]) == 1


def test_a_warehouse_of_this_version_stays_where_it_is(lived: Home) -> None:
    with pytest.raises(UpliftError, match="of this version already"):
        carry_ledger.main([str(lived.warehouse)])
    assert len(ledger(lived)["decisions.suppressions"]) == UNSUBSCRIBED


def test_lists_in_parts_come_along_or_are_refused(lived: Home, tmp_path: Path) -> None:
    parts = lived.partitions / "simulated" / "treat_list" / "1"
    parts.mkdir(parents=True)
    with opened(lived) as db:
        path = str(parts / "part-00000.parquet")
        db.rows(f"copy (from decisions.treat_list limit 7) to '{path}'")
        write_parts(db, ListKey(LATER, "simulated", "treated"), NightParts(parts, 1, 1))
    make_earlier(lived)
    old = tmp_path / "old.duckdb"
    shutil.move(lived.warehouse, old)
    parts.rename(parts.with_name("2"))
    with pytest.raises(DataError, match=rf"list of {LATER}: its 1 files are not in"):
        carry_ledger.main([str(old)])
    parts.with_name("2").rename(parts)
    for _ in range(2):
        assert carry_ledger.main([str(old)]) == 0
        with opened(lived) as db:
            counts = "select count(*) from decisions.treat_list group by decision_date order by all"
            assert db.rows(counts) == [(7,), (SMALL,)]


def test_a_run_beside_a_lost_ledger_stops_and_names_the_command(
    lived: Home, simulated: BatchExperiment, snapshot: Open
) -> None:
    """The ledger can be carried from the published snapshot, too."""
    run_job(simulated, lived.root, only=["published"])
    lived.warehouse.unlink()
    result = run_job(simulated, lived.root, only=["raw"], raise_on_error=False)
    said = failure_text(result)
    assert "lacks 1 nights and 500 suppressed users that are published" in said
    assert "UPLIFT_NEW_LEDGER=true" in said
    published = re.findall(r"make carry-ledger FROM=(\S+snapshot-\S+\.duckdb)", said)
    assert carry_ledger.main(published) == 0
    run_job(simulated, lived.root, only=["raw"])
    with opened(lived) as db:
        assert db.one("select count(*) from decisions.suppressions") == (UNSUBSCRIBED,)
        assert db.one("select count(*) from decisions.treat_list") == (SMALL,)


def test_who_wants_to_start_anew_may(lived: Home, simulated: BatchExperiment) -> None:
    lived.warehouse.unlink()
    assert not run_job(simulated, lived.root, only=["raw"], raise_on_error=False).success
    assert run_job(simulated, lived.root, only=["raw"], new_ledger=True).success


def test_a_suppression_may_be_taken_back(lived: Home, simulated: BatchExperiment) -> None:
    run_job(simulated, lived.root, only=["published"])
    with opened(lived) as db:
        db.rows("delete from decisions.suppressions")
    assert run_job(simulated, lived.root, only=["published"]).success


@pytest.mark.parametrize("table", [".".join(place) for place in KEYS])
def test_a_new_column_of_the_ledger_can_be_filled_for_earlier_rows(db: Warehouse, table: str) -> None:
    """A new column is nullable or has a default; otherwise no earlier ledger could be carried."""
    schema, _, name = table.partition(".")
    rows = db.rows(
        "select column_name from duckdb_columns() where schema_name = $schema and table_name = $name "
        "and not is_nullable and column_default is null",
        {"schema": schema, "name": name},
    )
    assert {column for (column,) in rows} <= set(REQUIRED_AT_FIRST[table].split())
