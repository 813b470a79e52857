"""Count how often checks and gates fail in simulated experiments in which nothing is wrong.

    python -m bench.false_alarms --folder FOLDER [--seeds 20] [--first 1] [--users 40000]

Every experiment is drawn anew and goes through all checks of all tables, and its list through the gates.
All experiments share one home: from the second on, features are compared with those of the previous
training, which have the same distribution. For each check the command prints how often it was made, the
number of alarms, the number to expect by chance alone, and the largest figure that was compared with its
limit.
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
DATE = "2026-01-01"  # the same date for all, so that no list has an earlier one to differ from
# Expected alarms per experiment, of checks whose limit of size lies within chance; the limits of all
# other checks are at least ten standard errors away.
BY_CHANCE = {("assignment", "sample_ratio"): 0.001, ("gates", "sample_ratio"): 0.001}
ANSWERS = """
select table_name, check_name, passed, value, message from quality.results where experiment = $name
union all
select 'gates', gate, passed, coalesce(value, 0)::varchar, message from decisions.gates
where experiment = $name
"""


@dataclass(frozen=True)
class Answer:
    """The answer of one rule of a check about one experiment."""

    seed: int
    table: str
    check: str
    passed: bool
    value: str
    message: str

    @property
    def size(self) -> float:
        """The figure that was compared with a limit; 0 if the value is no figure."""
        match = re.search(r"-?\d+\.\d+(e-?\d+)?", self.value)
        return abs(float(match[0])) if match else 0.0


def answers(root: Path, experiment: BatchExperiment, seed: int, **job: object) -> list[Answer]:
    """Run an experiment with this seed, in a home that others may have used; return all answers.

    Raises:
        SystemExit: the run stopped, and no check says why.
    """
    source = experiment.declaration.source.model_copy(update={"seed": seed})
    drawn = BatchExperiment.read(
        experiment.declaration.model_copy(update={"source": source}), experiment.path
    )
    result = run_job(drawn, root, only=LAYERS, decision_date=DATE, raise_on_error=False, **job)
    with open_warehouse(Home(root), memory_limit="2GB", threads=1) as db:
        rows = db.rows(ANSWERS, {"name": experiment.name})
    all_answers = [Answer(seed, *row) for row in rows]
    if not result.success and all(answer.passed for answer in all_answers):
        raise SystemExit(f"seed {seed} stopped, and no check says why")
    return all_answers


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
    all_answers = [
        answer for seed in track(seeds, "experiments") for answer in answers(root, folder, seed)
    ]
    _report(all_answers, len(seeds))


def _report(all_answers: Iterable[Answer], experiments: int) -> None:
    table = Table("table", "check", "answers", "alarms", "by chance", "largest")
    by_check: dict[tuple[str, str], list[Answer]] = {}
    for answer in all_answers:
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
