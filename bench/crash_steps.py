"""Kill the steps around the nights: retention, the register, rollback and its pin, backup and restore.

    python -m bench.crash_steps --folder FOLDER [--run HOME] [--kills 40]

Each step is killed (SIGKILL) before its k-th write, for writes spread over all of them. Then a reader
must find the old state, the new one, or one between that is named as allowed; and the step that runs
again must end like an undisturbed one. Upgrades are killed at every write by
``tests/dagster_project/warehouse/further_versions.py``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg

from bench.crash import at_each_step, begun, first_night, fork, must
from dagster_project.delivery.backup import MANIFEST, back_up, restore
from dagster_project.delivery.publish import lift, publish, roll_back
from dagster_project.delivery.retention import Pruning, prune
from dagster_project.delivery.stores import LocalStore
from dagster_project.warehouse.opening import open_warehouse
from tests.support import small_simulation, with_experiment
from uplift_core.artifacts import register as entries
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.id_key import make_id_key, read_id_key
from uplift_core.artifacts.publication import Pin, read_pin, read_pointer
from uplift_core.artifacts.register import Register, Wish
from uplift_core.experiment.retention import Retention

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PIN = Pin(pinned_at=LONG_AGO, made_by="bench")
USERS = range(50)
OLD_NIGHTS = 20
TODAY = date(2026, 6, 1)


@dataclass(frozen=True)
class Step:
    """A step that is killed.

    Attributes:
        name: what it is called.
        work: does it, in a home.
        seen: describes what readers find there; no two states have the same text.
        again: does it once more after a kill.
        between: whether a state that is neither old nor new is allowed, by its text.
    """

    name: str
    work: Callable[[Path], object]
    seen: Callable[[Path], str]
    again: Callable[[Path], object]
    between: Callable[[str], bool] = field(default=lambda _: False)


def main() -> int:
    """Kill the steps and print the outcomes. Return the exit code."""
    chosen, work = begun(__doc__ or "", "crash-steps", kills=40, of="of each step")
    before = work / "before"
    if not chosen.run:
        must(lambda: first_night(before, ()))
    must(lambda: _prepare(before))
    faults = [killed(step, work, before, chosen.kills) for step in STEPS]
    return 1 if any(faults) else 0


def killed(step: Step, work: Path, before: Path, kills: int) -> int:
    """Kill one step many times, and print what was found; return the number of faults."""
    after, home = work / f"after-{step.name}", work / "killed"
    shutil.copytree(before, after)
    must(lambda: _counted(step, after))
    writes = int((after / "writes").read_text())
    old, new = _seen(step, before), _seen(step, after)
    points = sorted({round(1 + i * (writes - 1) / max(kills - 1, 1)) for i in range(kills)})
    outcomes: Counter[str] = Counter()
    for point in points:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(before, home)
        died = fork(lambda at=point: _killed(step, home, at)) == -signal.SIGKILL
        state = _seen(step, home)
        words = {old: "old", new: "new"}.get(
            state, "between" if step.between(state) else f"TORN {state}"
        )
        must(lambda: step.again(home))
        end = "run again equal" if _seen(step, home) == new else "run again DIFFERS"
        outcomes[f"{'killed' if died else 'ended'}: {words}; {end}"] += 1
    print(f"{step.name}: {writes} writes, killed before {len(points)} of them")
    for outcome, count in sorted(outcomes.items()):
        print(f"  {count:4d}  {outcome}")
    return sum(count for outcome, count in outcomes.items() if "TORN" in outcome or "DIFFERS" in outcome)


def _counted(step: Step, home: Path) -> None:
    writes = [0]
    at_each_step(lambda: writes.__setitem__(0, writes[0] + 1))
    _count_entries(lambda: writes.__setitem__(0, writes[0] + 1))
    step.work(home)
    (home / "writes").write_text(str(writes[0]))


def _killed(step: Step, home: Path, at: int) -> None:
    left = [at]

    def write() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    at_each_step(write)
    _count_entries(write)
    step.work(home)


def _count_entries(write: Callable[[], None]) -> None:
    """Count entries of the register, too, which SQLite writes unseen."""
    row = entries.as_row

    def counted(entry: entries.Entry) -> tuple[object, ...]:
        write()
        return row(entry)

    entries.as_row = counted


def _seen(step: Step, home: Path) -> str:
    """Read in another process what readers find."""
    place = home.parent / "seen"
    must(lambda: place.write_text(step.seen(home)))
    return place.read_text()


def _prepare(root: Path) -> None:
    """Add what there is to prune, a second snapshot, and a backup."""
    home = Home(root)
    with open_warehouse(home, memory_limit="500MB", threads=1) as db:
        days = [(TODAY - timedelta(days=100 + night)).isoformat() for night in range(OLD_NIGHTS)]
        for table in ("nights", "treat_list"):
            db.rows(
                f"insert into decisions.{table} by name "
                "select lists.* replace (day::date as decision_date) "
                f"from decisions.{table} as lists, (select unnest($days::varchar[]) as day) as days",
                {"days": days},
            )
        publish(db, home, small_simulation())
    for day in days:
        folder = home.exports / "simulated" / day / "treated"
        folder.mkdir(parents=True)
        for name in ("treat.csv", "manifest.json"):
            (folder / name).write_text(name)
    back_up(home, str(root.parent / "backup"), lambda _: None)


def _prune(root: Path) -> None:
    kept = Retention(ledger_days=30, exports_days=30)
    experiment = with_experiment(small_simulation(), retention=kept)
    home = Home(root)
    with (
        open_warehouse(home, memory_limit="500MB", threads=1) as db,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        prune(Pruning(db, home, LocalStore(home.exports), experiment, TODAY, instance))


def _kept(root: Path) -> str:
    home = Home(root)
    with open_warehouse(home, memory_limit="500MB", threads=1) as db:
        rows = db.one("select count(*), count(distinct decision_date) from decisions.treat_list")
        nights = db.one("select count(*) from decisions.nights")
    folders = [path for path in (home.exports / "simulated").iterdir() if (path / "treated").is_dir()]
    halves = [folder.name for folder in folders if not any(folder.rglob("manifest.json"))]
    return json.dumps([[*rows, *nights], len(folders), halves])


def _pruned_in_part(state: str) -> bool:
    (_, dates, nights), folders, halves = json.loads(state)
    whole = dates in {1, 1 + OLD_NIGHTS, 2} and nights == 1 + OLD_NIGHTS
    return whole and not halves and folders >= 1


def _enter(root: Path) -> None:
    Register(Home(root).register).enter(
        [Wish(user, "simulated", "suppress", "left", "bench") for user in USERS]
    )


def _entered(root: Path) -> str:
    kept_out = Register(Home(root).register).keeping_out(["simulated"], TODAY)
    return str(sorted({entry.user_id for entry in kept_out}))


def _current(root: Path) -> str:
    published = Home(root).published
    return json.dumps([read_pointer(published).number, read_pin(published) is not None])


def _roll_back(root: Path) -> None:
    """Go back to the first snapshot, if that is not current yet."""
    if read_pointer(Home(root).published).number > 1:
        roll_back(Home(root), pin=PIN)


def _roll_back_and_lift(root: Path) -> None:
    _roll_back(root)
    if read_pin(Home(root).published) is not None:
        lift(Home(root))


def _restored(root: Path) -> str:
    home = Home(root / "restored")
    if not home.warehouse.is_file():
        return "no home"
    return hashlib.sha256(home.warehouse.read_bytes()).hexdigest() + str(read_id_key(home))


def _restore_anew(root: Path) -> None:
    """Restore into the home, emptied as the refusal of one that is not empty says."""
    shutil.rmtree(root / "restored", ignore_errors=True)
    _restore(root)


def _restore(root: Path) -> None:
    restore(Home(root / "restored"), str(root.parent / "backup"))


def _back_up(root: Path) -> None:
    back_up(Home(root), str(root / "backups" / str(os.getpid())), lambda _: None)


def _backups(root: Path) -> str:
    return "a backup" if [*(root / "backups").glob(f"*/{MANIFEST}")] else "none"


def _key(root: Path) -> str:
    return "a key" if read_id_key(Home(root / "new")) else "none"


def _make_key(root: Path) -> None:
    Home(root / "new").make_private()
    make_id_key(Home(root / "new"))


STEPS = (
    Step("retention", _prune, _kept, _prune, _pruned_in_part),
    Step("register", _enter, _entered, _enter),
    # A pin is there before the pointer goes back: a rollback that ends without one would not be seen.
    Step("rollback", _roll_back, _current, _roll_back, lambda state: json.loads(state) == [2, True]),
    Step("lift", _roll_back_and_lift, _current, _roll_back_and_lift, lambda state: json.loads(state)[1]),
    Step("backup", _back_up, _backups, _back_up),
    Step("restore", _restore, _restored, _restore_anew),
    Step("key of ids", _make_key, _key, _make_key),
)

if __name__ == "__main__":
    sys.exit(main())
