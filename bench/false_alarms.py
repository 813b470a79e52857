"""How often checks and gates fire where nothing is wrong: simulated experiments, one after the other.

    python -m bench.false_alarms --folder FOLDER [--seeds 20] [--first 1] [--users 40000]

Every experiment is drawn anew and goes through all checks of all tables, and its list through the gates.
All share one home: from the second on, features are compared with the training before, which came from
the same distribution. Prints, by check: how many questions were asked, how many alarms came, how many
chance alone brings in expectation, and the largest figure that was seen beside its limit.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.opening import open_warehouse
from tests.support import folder_of, run_job
from uplift_core.artifacts.home import Home

LAYERS = ("raw", "features", "assignment", "cells", "models", "scores", "thresholds", "treat_list")
DATE = "2026-01-01"  # one date for all: a list has no earlier one to differ from
# Of one experiment, where the size that is asked for beside chance lies within its reach; the others'
# limits are ten standard errors and more away.
BY_CHANCE = {("assignment", "sample_ratio"): 0.001, ("gates", "sample_ratio"): 0.001}
ASKED = """
select table_name, check_name, passed, value, message from quality.results where experiment = $name
union all
select 'gates', gate, passed, coalesce(value, 0)::varchar, message from decisions.gates
where experiment = $name
"""


@dataclass(frozen=True)
class Answer:
    """What one rule of a check said of one experiment."""

    seed: int
    table: str
    check: str
    passed: bool
    value: str
    message: str

    @property
    def size(self) -> float:
        """The figure that was compared with a limit, where it is one; 0 otherwise."""
        found = re.search(r"-?\d+\.\d+(e-?\d+)?", self.value)
        return abs(float(found[0])) if found else 0.0


def answers(root: Path, experiment: BatchExperiment, seed: int, **job: object) -> list[Answer]:
    """All that is asked of an experiment with this seed, in a home that others may have used before.

    Raises:
        SystemExit: it stops for anything but a check, or a check was not asked.
    """
    source = experiment.declaration.source.model_copy(update={"seed": seed})
    drawn = BatchExperiment.read(
        experiment.declaration.model_copy(update={"source": source}), experiment.path
    )
    result = run_job(drawn, root, only=LAYERS, decision_date=DATE, raise_on_error=False, **job)
    with open_warehouse(Home(root), memory_limit="2GB", threads=1) as db:
        rows = db.rows(ASKED, {"name": experiment.name})
    found = [Answer(seed, *row) for row in rows]
    if not result.success and all(answer.passed for answer in found):
        raise SystemExit(f"seed {seed} stopped, and no check says why")
    return found


def main() -> None:
    """Print a table of checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--users", type=int, default=40_000)
    chosen = parser.parse_args()
    root = chosen.folder / "false_alarms"
    shutil.rmtree(root, ignore_errors=True)
    folder = folder_of("simulated", n_users=chosen.users)
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    found = [answer for seed in track(seeds, "experiments") for answer in answers(root, folder, seed)]
    _report(found, len(seeds))


def _report(found: Iterable[Answer], experiments: int) -> None:
    table = Table("table", "check", "asked", "alarms", "by chance", "largest")
    by_check: dict[tuple[str, str], list[Answer]] = {}
    for answer in found:
        by_check.setdefault((answer.table, answer.check), []).append(answer)
    console = Console()
    for key, answered in sorted(by_check.items()):
        alarms = [answer for answer in answered if not answer.passed]
        expected = experiments * BY_CHANCE.get(key, 0.0)
        largest = max(answer.size for answer in answered)
        table.add_row(*key, str(len(answered)), str(len(alarms)), f"{expected:g}", f"{largest:.4g}")
        for alarm in alarms:
            console.print(f"seed {alarm.seed}: {alarm.message}", markup=False)
    console.print(table)


if __name__ == "__main__":
    main()
