"""A backup is whole, checked, and goes on as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import fsspec
import pytest

from dagster_project.commands import backup as command
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.backup import MANIFEST, back_up, restore
from dagster_project.turns.home_turn import NO_WAIT, TurnTakenError, Worker, home_turn
from tests.support import is_timestamp, opened, run_job
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.register import ALL, Register, Wish
from uplift_core.errors import UpliftError

NEXT_NIGHT = "2025-06-01"  # Dagster knows nights until today
OF_A_RUN = {"run_id"}  # columns that differ between runs, as times do
TABLES = """
select schema_name, table_name from duckdb_tables()
where not internal and schema_name <> 'training' order by all
"""


@pytest.fixture
def small(tmp_path: Path) -> Home:
    """A home with a warehouse, a bundle and leftovers of a killed process."""
    home = Home(tmp_path / "small")
    with opened(home) as db:
        db.rows("insert into decisions.suppressions values ('e', 7, 'unsubscribed', null)")
    (home.bundles / "e-1").mkdir(parents=True)
    (home.bundles / "e-1" / "manifest.json").write_text("{}")
    (home.bundles / ".e-2-half").mkdir()
    (home.bundles / ".e-2-half" / "model.ubj").write_text("half")
    (home.root / "first_night").write_text("2025-06-01\n")
    return home


def rows(database: Path) -> dict[str, list[tuple]]:
    """Rows of all tables, without times and ids of runs."""
    with duckdb.connect(str(database), read_only=True) as con:
        found = {}
        for schema, table in con.execute(TABLES).fetchall():
            described = con.execute(f'describe "{schema}"."{table}"').fetchall()
            columns = [c[0] for c in described if not is_timestamp(c[1]) and c[0] not in OF_A_RUN]
            listed = ", ".join(f'"{name}"' for name in columns)
            query = f'select {listed} from "{schema}"."{table}" order by all'
            found[f"{schema}.{table}"] = [tuple(map(repr, row)) for row in con.execute(query).fetchall()]
        return found


def exports(home: Home) -> dict[str, str]:
    files = (path for path in home.exports.rglob("*") if path.is_file())
    return {
        str(path.relative_to(home.exports)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_the_night_after_a_restore_equals_the_night_without_it(
    home: Home, simulated: BatchExperiment, tmp_path: Path
) -> None:
    back_up(home, str(tmp_path / "backup"), print)
    restored = Home(tmp_path / "elsewhere" / "home")
    restore(restored, str(tmp_path / "backup"))
    for each in (home, restored):
        next_night(simulated, each)
    assert len({row[0] for row in rows(home.warehouse)["decisions.nights"]}) == 2
    assert rows(restored.warehouse) == rows(home.warehouse)
    assert exports(restored) == exports(home)


def test_the_night_after_a_home_was_moved_equals_the_night_where_it_was(
    home: Home, simulated: BatchExperiment, tmp_path: Path
) -> None:
    shutil.copytree(home.root, tmp_path / "aside")
    next_night(simulated, home)
    here, exported = rows(home.warehouse), exports(home)
    shutil.rmtree(home.root)  # what still named it would not be there
    moved = Home((tmp_path / "aside").rename(tmp_path / "moved"))
    next_night(simulated, moved)
    assert rows(moved.warehouse) == here
    assert exports(moved) == exported


def next_night(experiment: BatchExperiment, home: Home) -> None:
    shutil.rmtree(home.proofs, ignore_errors=True)
    run_job(experiment, home.root, only=["treat_list", "export"], decision_date=NEXT_NIGHT)
    run_job(experiment, home.root, only=["published"])


def test_a_backup_during_a_run_waits_and_holds_all_of_the_run(
    home: Home, simulated: BatchExperiment, tmp_path: Path
) -> None:
    waited: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with home_turn(home.root, Worker.here("uplift_simulated", ""), print):
            backup = pool.submit(back_up, home, str(tmp_path / "backup"), waited.append)
            run_job(simulated, home.root, only=["treat_list", "export"], decision_date=NEXT_NIGHT)
            assert not backup.done()
        backup.result(60)
    assert any("uplift_simulated" in line for line in waited)
    restored = Home(tmp_path / "restored")
    restore(restored, str(tmp_path / "backup"))
    assert len({row[0] for row in rows(restored.warehouse)["decisions.nights"]}) == 2
    assert rows(restored.warehouse) == rows(home.warehouse)
    assert exports(restored) == exports(home)


def test_a_backup_goes_to_a_store_and_comes_back_checked(small: Home, tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    files = back_up(small, "memory://backups/1", print)
    assert [file.path for file in files] == [
        "warehouse.duckdb",
        "bundles/e-1/manifest.json",
        "first_night",
        "id_key",
    ]
    assert [*small.scratch.iterdir()] == []
    with pytest.raises(UpliftError, match="holds files; name a new folder"):
        back_up(small, "memory://backups/1", print)
    target = Home(tmp_path / "target")
    assert restore(target, "memory://backups/1") == files
    assert sorted(path.name for path in target.root.iterdir()) == [
        "bundles",
        "first_night",
        "id_key",
        "warehouse.duckdb",
    ]
    assert target.id_key.read_text() == small.id_key.read_text()
    assert target.id_key.stat().st_mode & 0o777 == 0o600
    with opened(target) as db:
        assert db.one("select user_id from decisions.suppressions") == (7,)
    with pytest.raises(UpliftError, match="restored into an empty home"):
        restore(target, "memory://backups/1")
    store.pipe_file("/backups/1/first_night", b"2025-07-01\n")
    empty = Home(tmp_path / "empty")
    with pytest.raises(UpliftError, match="first_night is damaged; nothing was restored"):
        restore(empty, "memory://backups/1")
    assert not empty.warehouse.exists()
    store.pipe_file("/backups/1/first_night", b"2025-06-01\n")
    restore(empty, "memory://backups/1")  # what the refused one left is no obstacle
    store.rm_file(f"/backups/1/{MANIFEST}")
    with pytest.raises(UpliftError, match="no backup, or half of one"):
        restore(Home(tmp_path / "other"), "memory://backups/1")


def test_the_register_comes_back_whole_although_somebody_has_it_open(
    small: Home, tmp_path: Path
) -> None:
    register, today = Register(small.register), datetime.now(UTC).date()
    register.enter([Wish(1, "e", "suppress", "unsubscribed", "Ann")])
    assert register.keeping_out(["e"], today)  # its connection stays open
    register.enter([Wish(2, ALL, "suppress", "unsubscribed", "Ann")])  # not in the main file yet
    files = back_up(small, str(tmp_path / "backup"), print)
    assert [file.path for file in files][:2] == ["warehouse.duckdb", "register.sqlite"]
    target = Home(tmp_path / "target")
    restore(target, str(tmp_path / "backup"))
    assert not list((tmp_path / "backup").glob("register.sqlite-*"))
    restored = Register(target.register)
    assert restored.keeping_out(["e", ALL], today) == register.keeping_out(["e", ALL], today)
    restored.enter([Wish(2, ALL, "lift", "came back", "Ben")])
    assert len(restored.keeping_out(["e", ALL], today)) == 1


def test_a_manifest_cannot_write_outside_the_home(small: Home, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    back_up(small, str(folder), print)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["files"][0]["path"] = "../../out.duckdb"
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UpliftError, match="leads out of the home"):
        restore(Home(tmp_path / "target"), str(folder))
    assert not list(tmp_path.rglob("out.duckdb"))


def test_files_that_tables_name_by_their_paths_stay_in_their_place(small: Home, tmp_path: Path) -> None:
    part = small.partitions / "e" / "raw" / "1" / "part-00000.parquet"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"rows")
    back_up(small, str(tmp_path / "backup"), print)
    with pytest.raises(UpliftError, match=f"restore it with UPLIFT_HOME={small.root}"):
        restore(Home(tmp_path / "target"), str(tmp_path / "backup"))
    shutil.rmtree(small.root)
    restore(small, str(tmp_path / "backup"))
    assert part.read_bytes() == b"rows"


def test_who_does_not_wait_for_a_run_is_told_whom_for(
    small: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPLIFT_HOME", str(small.root))
    to = ["--to", str(tmp_path / "backup")]
    with home_turn(small.root, Worker.here("uplift_e", "0123456789"), print):
        assert command.main([*to, "--no-wait"]) == NO_WAIT == 75
        with pytest.raises(TurnTakenError):
            back_up(small, to[1], print, wait=False)
    assert "nothing was done, because of uplift_e (run 01234567, process " in capsys.readouterr().out
    assert command.main(to) == 0
    assert "4 files" in capsys.readouterr().out
