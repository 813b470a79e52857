"""Publishing: immutable snapshots, one atomic pointer, other experiments stay unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import duckdb
import pytest

from dagster_project.commands import rollback
from dagster_project.commands.doctor import examine
from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery import publish as module
from dagster_project.delivery.publish import KEEP, OUTCOMES, lift, publish, roll_back
from dagster_project.settings import Settings
from dagster_project.training.registry import deciding_learner
from dagster_project.warehouse.partitions import Generation, write_part
from dagster_project.warehouse.sql import Identifier
from tests.support import Open, opened
from uplift_core.artifacts.files import sha256_file
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import (
    PIN,
    POINTER,
    Pin,
    Pointer,
    PublishedExperiment,
    newest_pointer,
    read_pin,
    read_pointer,
    record_pointer,
    write_pin,
    write_pointer,
)
from uplift_core.errors import BundleError, UpliftError
from uplift_core.targeting.budget import Budget

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
OTHER = PublishedExperiment(
    model_version="other-000000000000",
    bundle_sha256="ab" * 32,
    arm="a",
    learner="t",
    published_at=LONG_AGO,
)
METRIC = "('{experiment}', 'a', 'y', 't', '{metric}', 'holdout', {value}, null, null, null, 10, null)"


def snapshots(home: Home) -> list[str]:
    return sorted(p.name for p in home.published.glob("snapshot-*.duckdb"))


def publish_again(home: Home, experiment: BatchExperiment) -> Pointer:
    with opened(home) as db:
        return publish(db, home, experiment)


@pytest.fixture
def with_other(home: Home, simulated: BatchExperiment) -> Home:
    """A home whose snapshot also holds the experiment `other`, and an old state of `simulated`.

    In the warehouse, `other` is in the middle of a later run.
    """
    file = "snapshot-20200101T000000000000Z-other.duckdb"
    con = duckdb.connect(str(home.published / file))
    con.execute("create schema raw; create schema evaluation; create schema scores")
    con.execute("create table raw.other as select 1::bigint as user_id, 'published' as state")
    con.execute("create table scores.simulated as select 0::bigint as user_id")
    with opened(home) as db:
        (ddl,) = db.one("select sql from duckdb_tables() where table_name = 'metrics'")
        con.execute(ddl)
        con.execute(
            "insert into evaluation.metrics values "
            + METRIC.format(experiment="other", metric="kept", value=0.25)
            + ", "
            + METRIC.format(experiment="simulated", metric="outdated", value=0.5)
        )
        con.close()
        db.rows("create table raw.other as select 2::bigint as user_id, 'half-way' as state")
        db.rows("create table features.other as select 2::bigint as user_id")
        db.rows(
            "insert into evaluation.metrics values "
            + METRIC.format(experiment="other", metric="half-way", value=0.75)
        )
    before = read_pointer(home.published)
    write_pointer(
        home.published,
        before.model_copy(
            update={
                "file": file,
                "sha256": sha256_file(home.published / file),
                "experiments": {"other": OTHER, **before.experiments},
            }
        ),
    )
    return home


def test_the_pointer_says_what_is_in_the_snapshot(home: Home, simulated: BatchExperiment) -> None:
    before = read_pointer(home.published)
    pointer = publish_again(home, simulated)
    assert read_pointer(home.published) == pointer
    assert pointer.sha256 == sha256_file(home.published / pointer.file)
    assert pointer.snapshot_id in pointer.file
    entry = pointer.experiments["simulated"]
    assert entry.model_version == before.experiments["simulated"].model_version
    assert (home.bundles / entry.model_version).is_dir()
    with opened(home) as db:
        champion = deciding_learner(db, simulated, "treated")
    assert (entry.arm, entry.learner) == ("treated", champion)
    assert entry.published_at == pointer.published_at > before.published_at


def test_the_snapshot_equals_the_warehouse_without_its_training_tables(
    home: Home, simulated: BatchExperiment, snapshot: Open
) -> None:
    publish_again(home, simulated)
    con = snapshot(home.root)
    with opened(home) as db:
        tables = db.rows(
            "select schema_name, table_name, estimated_size from duckdb_tables() "
            "where schema_name <> 'training' order by all"
        )
        tables = [row for row in tables if row[:2] not in OUTCOMES]
        for schema, table, _ in tables:
            count = f'select count(*) from "{schema}"."{table}"'
            assert con.execute(count).fetchone() == db.one(count), table
    published = con.execute("select schema_name, table_name from duckdb_tables()").fetchall()
    only_published = {*published} - {(schema, table) for schema, table, _ in tables}
    assert only_published == {("decisions", "listed"), ("decisions", "contacts")}
    assert len(published) == len(tables) + 2
    assert not OUTCOMES & {*published}


def test_other_experiments_stay_as_they_were_published(
    with_other: Home, simulated: BatchExperiment, snapshot: Open
) -> None:
    pointer = publish_again(with_other, simulated)
    con = snapshot(with_other.root)
    assert con.execute("from raw.other").fetchall() == [(1, "published")]
    metrics = con.execute("select experiment, metric, value from evaluation.metrics").fetchall()
    assert [row for row in metrics if row[0] == "other"] == [("other", "kept", 0.25)]
    assert "features.other" not in {
        f"{schema}.{table}"
        for schema, table in con.execute(
            "select schema_name, table_name from duckdb_tables()"
        ).fetchall()
    }
    assert pointer.experiments["other"] == OTHER


def test_views_of_partitions_are_published_as_views_and_their_files_are_kept(
    with_other: Home, simulated: BatchExperiment, snapshot: Open
) -> None:
    home, scores = with_other, Identifier.of("scores", "simulated")
    others, first, second = (Generation.new(home, name, "scores") for name in ("other", *"ss"))
    with opened(home) as db:
        write_part(db, "select 5::bigint as user_id", {}, others.path(0))
        for generation in (first, second):
            write_part(db, f"from {scores}", {}, generation.path(0))
        db.create_view(scores, first.pattern)
    before = read_pointer(home.published)
    with duckdb.connect(str(home.published / before.file)) as con:
        con.execute(f"create view scores.other as from read_parquet('{others.pattern}')")
    digest = sha256_file(home.published / before.file)
    write_pointer(home.published, before.model_copy(update={"sha256": digest}))
    publish_again(home, simulated)
    con = snapshot(home.root)
    assert con.execute("from scores.other").fetchall() == [(5,)]
    assert con.execute("select count(*) from scores.simulated").fetchone()[0] > 0
    kinds = con.execute("select view_name from duckdb_views() where not internal order by 1").fetchall()
    assert kinds == [("other",), ("simulated",)]
    assert not second.folder.exists()  # nobody reads it
    with opened(home) as db:
        db.create(scores, "select 1::bigint as user_id")
    publish_again(home, simulated)
    assert snapshot(home.root).execute("from scores.simulated").fetchall() == [(1,)]
    assert first.path(0).is_file()  # from the previous snapshot


def test_of_the_experiment_itself_nothing_old_remains(
    with_other: Home, simulated: BatchExperiment, snapshot: Open
) -> None:
    publish_again(with_other, simulated)
    con = snapshot(with_other.root)
    metrics = {m for (m,) in con.execute("select metric from evaluation.metrics").fetchall()}
    assert "outdated" not in metrics
    assert "qini_auc" in metrics
    assert con.execute("select count(*) > 1 from scores.simulated").fetchone() == (True,)


def test_the_last_seven_snapshots_are_kept(home: Home, simulated: BatchExperiment) -> None:
    old = [f"snapshot-2020010{day}T000000000000Z-simulated.duckdb" for day in range(1, 10)]
    for name in old:
        (home.published / name).touch()
    current = read_pointer(home.published).file
    pointer = publish_again(home, simulated)
    assert snapshots(home) == sorted([*old[-(KEEP - 2) :], current, pointer.file])
    assert KEEP == 7


def test_the_current_snapshot_is_kept_even_if_the_clock_went_back(
    home: Home, simulated: BatchExperiment
) -> None:
    later = [f"snapshot-2999010{day}T000000000000Z-simulated.duckdb" for day in range(1, 9)]
    for name in later:
        (home.published / name).touch()
    pointer = publish_again(home, simulated)
    assert pointer.file in snapshots(home)


def crash(*_: object, **__: object) -> None:
    raise OSError("power cut")


@pytest.mark.parametrize("step", ["_copy_table", "sync_file", "sha256_file", "make_current"])
def test_a_crash_before_the_pointer_leaves_the_old_state_current(
    home: Home, simulated: BatchExperiment, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = (home.published / POINTER).read_bytes()
    file = read_pointer(home.published)
    monkeypatch.setattr(module, step, crash)
    with pytest.raises(OSError, match="power cut"):
        publish_again(home, simulated)
    assert (home.published / POINTER).read_bytes() == before
    assert sha256_file(home.published / file.file) == file.sha256
    assert [p.name for p in home.published.glob(".*")] == []
    monkeypatch.undo()
    assert publish_again(home, simulated).file != file.file


def test_what_the_asset_wrote_before_is_kept_and_the_warehouse_stays_usable(
    home: Home, simulated: BatchExperiment
) -> None:
    with opened(home) as db:
        publish(db, home, simulated)
        db.rows("create table raw.later as select 1 as a")
    with opened(home) as db:
        assert db.rows("from raw.later") == [(1,)]
        assert {name for (name,) in db.rows("select database_name from duckdb_databases()")}.isdisjoint(
            {"snapshot", "previous"}
        )


def test_a_pointer_to_a_missing_snapshot_is_told(home: Home, simulated: BatchExperiment) -> None:
    file = read_pointer(home.published).file
    (home.published / file).unlink()
    with pytest.raises(UpliftError, match=f"the pointer names {file}, which is missing"):
        publish_again(home, simulated)


def test_an_unreadable_pointer_does_not_lose_the_other_experiments(
    with_other: Home, simulated: BatchExperiment
) -> None:
    path = with_other.published / POINTER
    path.write_text("{")
    with pytest.raises(UpliftError, match="unreadable pointer"):
        publish_again(with_other, simulated)
    assert path.read_text() == "{"


def test_the_first_publication_needs_no_previous_one(home: Home, simulated: BatchExperiment) -> None:
    for path in home.published.iterdir():
        path.unlink()
    assert list(publish_again(home, simulated).experiments) == ["simulated"]


def spoil_model(bundle: Path) -> None:
    path = next(bundle.glob("*.ubj"))
    path.write_bytes(path.read_bytes() + b"x")


def spoil_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()


@pytest.mark.parametrize("spoil", [spoil_model, spoil_manifest])
def test_a_bundle_that_does_not_verify_is_not_published(
    home: Home, simulated: BatchExperiment, spoil: Callable[[Path], None]
) -> None:
    before = (home.published / POINTER).read_bytes()
    (bundle,) = home.bundles.iterdir()
    spoil(bundle)
    with pytest.raises(BundleError):
        publish_again(home, simulated)
    assert (home.published / POINTER).read_bytes() == before


def test_rolling_back_makes_the_snapshot_before_the_current_one(
    home: Home,
    simulated: BatchExperiment,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = read_pointer(home.published)
    second = publish_again(home, simulated)
    monkeypatch.setenv("UPLIFT_HOME", str(home.root))
    assert rollback.main(["--list"]) == 0
    said = capsys.readouterr().out
    assert f"* {second.snapshot_id}" in said
    assert first.snapshot_id in said
    assert rollback.main(["--list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["current"] == second.snapshot_id
    assert [kept["snapshot_id"] for kept in told["kept"]] == [first.snapshot_id, second.snapshot_id]
    assert rollback.main([]) == 0
    assert read_pointer(home.published) == first
    assert rollback.main(["--to", second.snapshot_id]) == 0
    assert read_pointer(home.published) == second


def test_a_rollback_holds_over_the_next_nights_until_it_is_lifted(
    home: Home,
    simulated: BatchExperiment,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = read_pointer(home.published)
    publish_again(home, simulated)
    monkeypatch.setenv("UPLIFT_HOME", str(home.root))
    with pytest.raises(UpliftError, match="nothing is pinned"):
        rollback.main(["--lift"])
    monkeypatch.setattr(module, "KEEP", 3)
    assert rollback.main(["--reason", "scores look wrong", "--by", "Ann"]) == 0
    assert "stays current until make rollback LIFT=1" in capsys.readouterr().out
    waiting = [publish_again(home, simulated) for _ in range(4)][-1]
    assert read_pointer(home.published) == first
    assert newest_pointer(home.published) == waiting
    assert first.file in snapshots(home)  # however old
    (answer,) = (answer for answer in examine(Settings()) if answer.question == "rollback")
    assert "pinned by Ann since" in answer.state
    assert answer.state.endswith("scores look wrong; a newer snapshot waits")
    assert "--lift" in answer.remedy
    assert rollback.main(["--lift"]) == 0
    assert read_pointer(home.published) == waiting
    assert publish_again(home, simulated) == read_pointer(home.published)


def test_what_waits_has_all_experiments_as_they_were_published_last(
    home: Home, simulated: BatchExperiment
) -> None:
    """Under a pin, one experiment is published after another: the first one's night is not lost."""
    other = Identifier.of("features", "other")
    base = read_pointer(home.published)
    entry = base.experiments["simulated"]
    with_other = base.model_copy(update={"experiments": {"simulated": entry, "other": entry}})
    record_pointer(home.published, with_other)
    write_pointer(home.published, with_other)
    pin = Pin(pinned_at=LONG_AGO, made_by="Ann")
    write_pin(home.published, pin)
    first = publish_again(home, simulated)
    path = home.published / first.file
    with duckdb.connect(str(path)) as con:  # as if the other experiment's run had published this
        con.execute(f"create table {other} as select 7 as user_id")
    record_pointer(home.published, first.model_copy(update={"sha256": sha256_file(path)}))
    second = publish_again(home, simulated)
    with duckdb.connect(str(home.published / second.file), read_only=True) as con:
        assert con.execute(f"from {other}").fetchall() == [(7,)]
    assert read_pin(home.published) == pin.model_copy(update={"waiting": second.number})
    assert read_pointer(home.published) == with_other


def test_an_unreadable_pin_holds(home: Home, simulated: BatchExperiment) -> None:
    before = read_pointer(home.published)
    (home.published / PIN).write_text("{")
    with pytest.raises(UpliftError, match="unreadable pin"):
        publish_again(home, simulated)
    assert read_pointer(home.published) == before


def test_what_waits_is_verified_before_a_pin_is_lifted(home: Home, simulated: BatchExperiment) -> None:
    first = read_pointer(home.published)
    write_pin(home.published, Pin(pinned_at=LONG_AGO, made_by="Ann"))
    path = home.published / publish_again(home, simulated).file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UpliftError, match="missing or damaged"):
        lift(home)
    assert read_pointer(home.published) == first
    assert read_pin(home.published) is not None


class _Clock:
    """A clock that can be set."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self, zone: tzinfo) -> datetime:
        return self.moment.astimezone(zone)


def test_a_clock_that_is_set_back_changes_no_order(
    home: Home,
    simulated: BatchExperiment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The largest number of kept snapshots is published in one year, before the next year's first."""
    clock = _Clock(datetime(2999, 1, 1, tzinfo=UTC))
    monkeypatch.setattr(module, "datetime", clock)
    later = [publish_again(home, simulated) for _ in range(2)]  # also at the same moment
    assert later[0].file != later[1].file
    monkeypatch.setattr(module, "KEEP", 3)
    clock.moment = LONG_AGO
    first, second = (publish_again(home, simulated) for _ in range(2))
    assert snapshots(home) == sorted([later[1].file, first.file, second.file])
    monkeypatch.setenv("UPLIFT_HOME", str(home.root))
    assert rollback.main(["--list"]) == 0
    listed = [line.split()[-2] for line in capsys.readouterr().out.splitlines()]
    assert listed == [pointer.snapshot_id for pointer in (later[1], first, second)]
    assert roll_back(home) == first
    assert roll_back(home) == later[1]
    third = publish_again(home, simulated)  # counts from the last one, not from the current one
    assert third.number == second.number + 1
    assert roll_back(home) == second


def test_snapshots_of_a_version_that_did_not_count_come_first(
    home: Home, simulated: BatchExperiment
) -> None:
    first = read_pointer(home.published)
    uncounted = first.model_dump(mode="json", exclude={"number"})
    for path in (home.published / POINTER, (home.published / first.file).with_suffix(".json")):
        path.write_text(json.dumps(uncounted))
    assert publish_again(home, simulated).number == 1
    assert roll_back(home).snapshot_id == first.snapshot_id
    (home.published / "snapshot-broken.json").write_text(
        "{"
    )  # no rollback to it is possible, and it stops nothing
    assert publish_again(home, simulated).number == 2


def test_what_cannot_be_rolled_back_to_is_refused(home: Home, simulated: BatchExperiment) -> None:
    with pytest.raises(UpliftError, match="there is no snapshot before"):
        roll_back(home)
    with pytest.raises(UpliftError, match="there is no snapshot 'nonsense'; kept are"):
        roll_back(home, "nonsense")
    first = read_pointer(home.published)
    second = publish_again(home, simulated)
    path = home.published / first.file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UpliftError, match="missing or damaged"):
        roll_back(home)
    assert read_pointer(home.published) == second


def test_a_damaged_snapshot_with_other_experiments_is_no_source(
    with_other: Home, simulated: BatchExperiment
) -> None:
    path = with_other.published / read_pointer(with_other.published).file
    path.write_bytes(path.read_bytes() + b"x")
    before = (with_other.published / POINTER).read_bytes()
    with pytest.raises(UpliftError, match="it holds other experiments' tables"):
        publish_again(with_other, simulated)
    assert (with_other.published / POINTER).read_bytes() == before


def test_two_nights_of_the_ledger_are_published(
    home: Home, simulated: BatchExperiment, snapshot: Open
) -> None:
    with opened(home) as db:
        for night in ("2026-01-01", "2026-01-02", "2026-01-03"):
            write_treat_list(
                db,
                simulated,
                ListOrder(decision_date=night, arm="treated", budget=Budget(share=0.3), override="test"),
                assign_roles,
            )
    publish_again(home, simulated)
    con = snapshot(home.root)
    dates = con.execute(
        "select distinct decision_date::varchar from decisions.treat_list order by 1 desc"
    )
    list_dates = [date for (date,) in dates.fetchall()]
    assert len(list_dates) == 2
    assert list_dates[1] == "2026-01-03"  # the first is that of the run itself
    assert con.execute("select count(*) from decisions.nights").fetchone() == (4,)
