"""Models are due to learn when old, or when a promise is broken; not again for the same night."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.learning_due import Standing, read_standing, why_due
from tests.support import with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.experiment.learning import Learning

NOW = datetime.fromisoformat("2026-03-01 12:00")
LEARNING = Learning(every_days=30)


def days_ago(days: int) -> datetime:
    return NOW - timedelta(days=days)


@pytest.mark.parametrize(
    ("standing", "why"),
    [
        (Standing(days_ago(31), measured=date(2026, 2, 27)), "31 days old"),
        (Standing(days_ago(29), measured=date(2026, 2, 27)), ""),
        (Standing(days_ago(90)), ""),  # no list was measured: there is nothing to learn from
        (Standing(days_ago(90), days_ago(3), measured=date(2026, 2, 27)), ""),
        (
            Standing(days_ago(5), None, keeps_promise=False, measured=date(2026, 2, 27)),
            "until 2026-02-27 do not do what",
        ),
        (Standing(days_ago(5), None, keeps_promise=True, measured=date(2026, 2, 27)), ""),
        (Standing(days_ago(9), days_ago(1), keeps_promise=False, measured=date(2026, 2, 27)), ""),
        (Standing(days_ago(9), days_ago(3), keeps_promise=False, measured=date(2026, 2, 27)), "until"),
    ],
)
def test_models_are_due(standing: Standing, why: str) -> None:
    said = why_due(standing, LEARNING, NOW)
    assert why in said
    assert bool(why) == bool(said)


def test_a_published_run_is_read_and_an_empty_home_is_not(
    simulated_home: Path, simulated: BatchExperiment, tmp_path: Path
) -> None:
    folder = with_experiment(simulated, learning=LEARNING)
    standing = read_standing(Home(simulated_home), folder)
    assert standing is not None
    assert (standing.learned_at, standing.measured) == (None, None)
    assert read_standing(Home(tmp_path), folder) is None
