"""A published snapshot, open for reading."""

from __future__ import annotations

import threading
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from uplift_core import budget as budgets
from uplift_core.boosting import Floats
from uplift_core.errors import UpliftError
from uplift_core.files import sha256_file
from uplift_core.learners import LearnerName

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}

Distribution = tuple[Floats, npt.NDArray[np.int64]]


class Snapshot:
    """An immutable DuckDB file; what was read from it once is kept for as long as it is."""

    def __init__(self, path: Path, snapshot_id: str) -> None:
        self.snapshot_id = snapshot_id
        self._con = duckdb.connect(str(path), read_only=True, config=CONFIG)
        self._lock = threading.Lock()
        self._distributions: dict[tuple[str, str, str], Distribution] = {}

    def threshold(self, experiment: str, arm: str, learner: LearnerName, budget: float) -> float:
        """The score from which on a user is treated at this budget, from the held-out users.

        The names must come from the experiment's declaration. Infinity: nobody is treated.
        """
        scores, counts = self._holdout(experiment, arm, learner)
        return budgets.threshold(scores, counts, budget)

    def _holdout(self, experiment: str, arm: str, learner: LearnerName) -> Distribution:
        """Distinct holdout scores, descending, and the users of each; both (n,)."""
        key = (experiment, arm, learner)
        with self._lock:  # two first requests must not both scan the table
            if key not in self._distributions:
                self._distributions[key] = self._read_holdout(*key)
            return self._distributions[key]

    def _read_holdout(self, experiment: str, arm: str, learner: str) -> Distribution:
        # As sql/decisions/holdout_scores.sql, whose thresholds it must meet.
        sql = (
            f'select cate_{learner} as score, count(*) as n from scores."{experiment}" '
            "where arm = $arm and split = 'holdout' group by score order by score desc"
        )
        with self._con.cursor() as cursor:
            found = cursor.sql(sql, params={"arm": arm}).to_arrow_table()
        return found.column("score").to_numpy(), found.column("n").to_numpy().astype(np.int64)


def open_snapshot(path: Path, snapshot_id: str, sha256: str) -> Snapshot:
    """Verify a snapshot file against its pointer, and open it read-only.

    Raises:
        UpliftError: its content is not what the pointer says.
        OSError, duckdb.Error: it cannot be read.
    """
    if sha256_file(path) != sha256:
        raise UpliftError(f"{path}: altered, its sha256 is not {sha256[:12]}… as the pointer says")
    return Snapshot(path, snapshot_id)
