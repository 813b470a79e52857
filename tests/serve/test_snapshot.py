from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from serve.snapshot import open_snapshot
from tests.serve.support import query
from uplift_core.artifacts.publication import read_pointer
from uplift_core.errors import UpliftError


@pytest.mark.parametrize("experiment", ["simulated", "hillstrom"])
def test_thresholds_are_the_batchs_at_every_whole_percent(
    request: pytest.FixtureRequest, experiment: str
) -> None:
    home: Path = request.getfixturevalue(f"{experiment}_served")
    pointer = read_pointer(home / "published")
    snapshot = open_snapshot(home / "published" / pointer.file, "id", pointer.sha256)
    rows = query(home, "from decisions.thresholds where experiment = $e", e=experiment)
    assert len(rows) >= 500
    for row in rows:
        threshold = snapshot.threshold(experiment, row["arm"], row["learner"], row["budget"])
        assert np.float32(threshold) == np.float32(row["threshold"])


def test_the_scores_are_read_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pointer = read_pointer(home / "published")
    snapshot = open_snapshot(home / "published" / pointer.file, "id", pointer.sha256)
    first = snapshot.threshold("simulated", "treated", "r", 0.3)
    monkeypatch.setattr(snapshot, "_read_holdout", None)
    assert snapshot.threshold("simulated", "treated", "r", 0.3) == first
    assert snapshot.threshold("simulated", "treated", "r", 0) == np.inf


def test_an_altered_file_is_not_opened(home: Path) -> None:
    pointer = read_pointer(home / "published")
    with pytest.raises(UpliftError, match="altered"):
        open_snapshot(home / "published" / pointer.file, "id", "0" * 64)


def test_nothing_can_be_written(home: Path) -> None:
    pointer = read_pointer(home / "published")
    snapshot = open_snapshot(home / "published" / pointer.file, "id", pointer.sha256)
    with pytest.raises(duckdb.InvalidInputException, match="read-only"):
        snapshot._con.execute("drop table scores.simulated")
