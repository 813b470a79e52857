"""Disturb a night by kills, a full or read-only disk, damaged files; report what readers see, the end.

    python -m bench.crash --folder FOLDER [--run HOME] [--kills 100]

A night writes a list, exports and publishes it. It is killed (SIGKILL) before its k-th step, for
steps spread over all of them - every SQL statement, every file that is opened for writing, renamed or
removed - and after random times. After each kill a reader must find the old export and the old snapshot
or the new ones, whole; then the night runs again and must end like an undisturbed one: equal exports,
byte by byte, and a snapshot of equal tables.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from dagster_project.automation import LAYERS
from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.records import ListKey
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.delivery.export import MANIFEST, SUCCESS, export_treat_list
from dagster_project.delivery.export_files import write_whole
from dagster_project.delivery.publish import publish
from dagster_project.delivery.stores import LocalStore
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.opening import open_warehouse
from tests.support import run_job, small_simulation
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer
from uplift_core.targeting.budget import Budget

DATE = "2026-01-01"
KEY = ListKey(DATE, "simulated", "treated")
WRITES = os.O_WRONLY | os.O_RDWR
NOT_TRIED = "not tried, no right to mount a small file system here"
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
SEED = 20260101


def main() -> int:
    """Disturb the nights and print the outcomes. Return the exit code."""
    chosen, work = begun(__doc__ or "", "crash", kills=150, of="a sixth of them after random times")
    before, after = work / "before", work / "after"
    must(lambda: first_night(before, LAYERS if chosen.run else ()))
    shutil.copytree(before, after)
    must(lambda: _counted_night(after))
    steps = int((after / "steps").read_text())
    seconds = float((after / "seconds").read_text())
    old, new = _seen(before), _seen(after)
    outcomes: Counter[str] = Counter()
    rng = random.Random(SEED)  # noqa: S311 - when to kill
    timed = chosen.kills // 6
    by_step = chosen.kills - timed
    points = [round(1 + i * (steps - 1) / max(by_step - 1, 1)) for i in range(by_step)]
    for point in [*points, *(rng.uniform(0, seconds) for _ in range(timed))]:
        home = work / "killed"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(before, home)
        killed = fork(lambda at=point, where=home: _killed_night(where, at)) == -signal.SIGKILL
        state = _state(_seen(home), old, new)
        must(lambda where=home: _night(where))
        again = "rerun equal" if _seen(home) == new else "BUT the rerun differs"
        outcomes[f"{'killed' if killed else 'ended'}: {state}; {again}"] += 1
    print(f"{steps} steps, {chosen.kills} disturbed nights ({timed} of them at random times)")
    for outcome, count in sorted(outcomes.items()):
        print(f"  {count:4d}  {outcome}")
    disks = [
        f"full disk: {_full_disk(work, before, old, new)}",
        f"read-only home: {_read_only(work, before, old, new)}",
        f"damaged files: {_damaged(work, after, new)}",
    ]
    print(*disks, sep="\n")
    faults = [*outcomes, *disks[:2]]
    return int(any("BUT" in each or "torn" in each for each in faults) or "DOES NOT" in disks[2])


def begun(description: str, name: str, *, kills: int, of: str) -> tuple[argparse.Namespace, Path]:
    """Read the command line, and make the folder ``name``, with a copy of ``--run`` as ``before``.

    The process opens no database and so has no threads: it can fork, again and again.
    """
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=form)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--run", type=Path, help="home of a finished small simulated run, to be copied")
    parser.add_argument("--kills", type=int, default=kills, help=of)
    chosen = parser.parse_args()
    work = chosen.folder / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if chosen.run:
        shutil.copytree(chosen.run, work / "before")
    return chosen, work


def first_night(root: Path, only: Sequence[str]) -> None:
    """Run a small experiment, or some layers of it."""
    run_job(small_simulation(), root, only=only, decision_date=DATE)


def _night(root: Path) -> None:
    home, folder = Home(root), small_simulation()
    with open_warehouse(home, memory_limit="500MB", threads=1) as db:
        write_treat_list(
            db,
            folder,
            ListOrder(decision_date=DATE, arm="treated", budget=Budget(share=0.2), override="bench"),
            assign_roles,
        )
    with open_warehouse(home, memory_limit="500MB", threads=1) as db:
        export_treat_list(db, LocalStore(home.exports), KEY, write_sheet=write_whole)
    with open_warehouse(home, memory_limit="500MB", threads=1) as db:
        publish(db, home, folder)


def _counted_night(root: Path) -> None:
    count = [0]
    at_each_step(lambda: count.__setitem__(0, count[0] + 1))
    started = time.monotonic()
    _night(root)
    (root / "seconds").write_text(str(time.monotonic() - started))
    (root / "steps").write_text(str(count[0]))


def _killed_night(root: Path, at: float) -> None:
    if isinstance(at, int):
        left = [at]

        def step() -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        at_each_step(step)
    else:
        night = os.getpid()
        if os.fork() == 0:  # one of Python's timers would wait for the statement to end
            time.sleep(at)
            if os.getppid() == night:  # else the night is over, and the parent is another process
                os.kill(night, signal.SIGKILL)
            os._exit(0)
    _night(root)


def at_each_step(step: Callable[[], None]) -> None:
    """Call ``step`` before each SQL statement, and before each change of a file."""

    def hook(event: str, arguments: tuple) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if writes or event in CHANGES:
            step()

    rows = Warehouse.rows

    def counted(self: Warehouse, sql: str, binds: dict[str, object] | None = None) -> list[tuple]:
        step()
        return rows(self, sql, binds or {})

    Warehouse.rows = counted  # type: ignore[method-assign]
    sys.addaudithook(hook)


def fork(work: Callable[[], object]) -> int:
    """Run ``work`` in a separate process; return its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:  # noqa: BLE001 - reported by the exit code
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def must(work: Callable[[], object]) -> None:
    """Run ``work`` in a separate process, and stop if it fails."""
    if fork(work) != 0:
        sys.exit("a night that nobody disturbed failed")


def _seen(root: Path) -> tuple[str, str]:
    """Return what readers see: the digests of export and snapshot, or what is wrong with them."""
    export, snapshot = root / "seen-export", root / "seen-snapshot"
    fork(lambda: export.write_text(_export(root)))
    fork(lambda: snapshot.write_text(_snapshot(root)))
    seen = export.read_text(), snapshot.read_text()
    export.unlink()
    snapshot.unlink()
    return seen


def _export(root: Path) -> str:
    place = Home(root).exports / KEY.experiment / DATE / KEY.campaign
    content = (place / MANIFEST).read_bytes()
    for entry in json.loads(content)["files"]:
        path = place / entry["path"]
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            return f"torn: {path.name}"
    # Between the two replacements _SUCCESS still names the old manifest; both are whole.
    success = (place / SUCCESS).read_text()
    return hashlib.sha256(content).hexdigest() + ("" if len(success) == 64 else " torn: _SUCCESS")  # noqa: PLR2004


def _snapshot(root: Path) -> str:
    published = Home(root).published
    pointer = read_pointer(published)
    path = published / pointer.file
    if hashlib.sha256(path.read_bytes()).hexdigest() != pointer.sha256:
        return "torn: snapshot"
    digest = hashlib.sha256()
    with duckdb.connect(str(path), read_only=True) as con:
        tables = con.execute(
            "select schema_name, table_name from duckdb_tables() order by all"
        ).fetchall()
        for schema, table in tables:
            columns = con.execute(f"describe {schema}.{table}").fetchall()
            names = ", ".join(f'"{c[0]}"' for c in columns if not c[1].startswith("TIMESTAMP"))
            rows = con.execute(f"select {names} from {schema}.{table} order by all").fetchall()
            digest.update(repr((schema, table, rows)).encode())
    return digest.hexdigest()


def _state(current: tuple[str, str], old: tuple[str, str], new: tuple[str, str]) -> str:
    words = []
    for what, seen, before, after in zip(("export", "snapshot"), current, old, new, strict=True):
        words.append(
            f"{what} {'old' if seen == before else 'new' if seen == after else f'torn ({seen})'}"
        )
    return ", ".join(words)


@contextmanager
def _small_disk(work: Path) -> Iterator[Path | None]:
    """Mount a small file system; None without the right to."""
    disk = work / "disk"
    disk.mkdir(exist_ok=True)
    if _mount("-t", "tmpfs", "-o", "size=512m", "tmpfs", str(disk)):
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=False)  # noqa: S603, S607


def _mount(*arguments: str) -> int:
    command = ["mount", *arguments]
    return subprocess.run(command, check=False, capture_output=True).returncode  # noqa: S603 - fixed


def _full_disk(work: Path, before: Path, old: tuple[str, str], new: tuple[str, str]) -> str:
    """Run the night on a small file system, with different amounts of free space."""
    outcomes: Counter[str] = Counter()
    with _small_disk(work) as disk:
        if disk is None:
            return NOT_TRIED
        for room in (0, 1, 4, 8, 12, 16, 24):
            home = disk / "home"
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(before, home)
            filler = disk / "filler"
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - (room << 20) - 4096)
            failed = fork(lambda where=home: _night(where)) != 0
            filler.unlink()
            outcomes[_ended(home, failed=failed, old=old, new=new)] += 1
    return "; ".join(f"{count} x {what}" for what, count in sorted(outcomes.items()))


def _read_only(work: Path, before: Path, old: tuple[str, str], new: tuple[str, str]) -> str:
    """Run the night in a home that is mounted read-only, and once more when it can be written."""
    with _small_disk(work) as disk:
        if disk is None:
            return NOT_TRIED
        home = disk / "home"
        shutil.copytree(before, home)
        if _mount("-o", "remount,ro", str(disk)):
            return NOT_TRIED
        failed = fork(lambda: _night(home)) != 0
        _mount("-o", "remount,rw", str(disk))
        return _ended(home, failed=failed, old=old, new=new)


def _ended(home: Path, *, failed: bool, old: tuple[str, str], new: tuple[str, str]) -> str:
    """Describe what a disturbed night left, and how the night ends that is run again."""
    state = _state(_seen(home), old, new)
    must(lambda: _night(home))
    again = "rerun equal" if _seen(home) == new else "BUT the rerun differs"
    return f"{'stopped' if failed else 'ended'}: {state}; {again}"


def _damaged(work: Path, after: Path, new: tuple[str, str]) -> str:
    """Truncate an exported file and the current snapshot; the next night must write both anew."""
    home = work / "damaged"
    shutil.copytree(after, home)
    place = home / "exports" / KEY.experiment / DATE / KEY.campaign
    exported = place / json.loads((place / MANIFEST).read_bytes())["files"][0]["path"]
    current = home / "published" / read_pointer(home / "published").file
    for path in (exported, current):
        os.truncate(path, path.stat().st_size // 2)
    noticed = [seen.split(":")[0] for seen in _seen(home)]
    must(lambda: _night(home))
    return f"readers see {noticed}, the next night {'mends both' if _seen(home) == new else 'DOES NOT'}"


if __name__ == "__main__":
    sys.exit(main())
