"""A published snapshot, open for reading."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from serve.errors import UnknownUserError
from uplift_core.boosting import Floats
from uplift_core.budget import Distribution
from uplift_core.errors import UpliftError
from uplift_core.experiment import Experiment
from uplift_core.files import sha256_file
from uplift_core.learners import LearnerName

# Read-only, and no other file but partitions: what is asked is written here, and cannot be changed.
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": 1,  # workers and requests run side by side
    "memory_limit": "1GB",
}
PARTITIONS = "partitions"  # beside the folder of snapshots
_locking = threading.Lock()


def _lock_down(con: duckdb.DuckDBPyConnection, partitions: Path) -> None:
    """Let SQL read no file but those that a cluster's workers wrote, which the snapshot's views read.

    Who opens a file that this process has open gets the same DuckDB, locked already.
    """
    with _locking:
        if con.execute("select current_setting('lock_configuration')").fetchall() == [(True,)]:
            return
        folder = str(partitions).replace("'", "''")
        con.execute(f"set allowed_directories = ['{folder}']").fetchall()
        con.execute("set enable_external_access = false").fetchall()
        con.execute("set lock_configuration = true").fetchall()


class Snapshot:
    """An immutable DuckDB file; what was read from it once is kept for as long as it is."""

    def __init__(self, path: Path, snapshot_id: str) -> None:
        self.snapshot_id = snapshot_id
        self._con = duckdb.connect(str(path), read_only=True, config=CONFIG)
        _lock_down(self._con, path.absolute().parent.parent / PARTITIONS)
        self._lock = threading.Lock()
        found = self.rows(
            "select table_name from duckdb_tables() where schema_name = 'features' "
            "and ends_with(table_name, '_population')"
        )
        self._populations = {str(row["table_name"]) for row in found}
        self._distributions: dict[tuple[str, str, str], Distribution] = {}
        self._thresholds: dict[tuple[str, str, str, float], float] = {}

    def arrow(self, sql: str, binds: Mapping[str, object] = {}) -> pa.Table:
        """The rows of a query."""
        with self._con.cursor() as cursor:
            return cursor.sql(sql, params=dict(binds)).to_arrow_table()

    def rows(self, sql: str, binds: Mapping[str, object] = {}) -> list[dict[str, Any]]:
        """The same as one dict a row."""
        found: list[dict[str, Any]] = self.arrow(sql, binds).to_pylist()
        return found

    def threshold(self, experiment: str, arm: str, learner: LearnerName, budget: float) -> float:
        """The score from which on a user is treated at this budget, from the held-out users.

        The names must come from the experiment's declaration. Infinity: nobody is treated.
        """
        key = (experiment, arm, learner, budget)
        if key not in self._thresholds:
            if len(self._thresholds) > 10_000:  # noqa: PLR2004 - budgets are free to choose
                self._thresholds.clear()
            self._thresholds[key] = self.holdout(experiment, arm, learner).threshold(budget)
        return self._thresholds[key]

    def holdout(self, experiment: str, arm: str, learner: LearnerName) -> Distribution:
        """The scores of held-out users."""
        key = (experiment, arm, learner)
        with self._lock:  # two first requests must not both scan the table
            if key not in self._distributions:
                self._distributions[key] = self._read_holdout(*key)
            return self._distributions[key]

    def features(self, experiment: str, names: Sequence[str], users: Sequence[int]) -> Floats:
        """Features of users by id, (n, n_features) float32 in the order that was asked for.

        Where the experiment has a population of its own, users are looked for there first.

        Raises:
            UnknownUserError: a user is not in the snapshot.
        """
        left = np.unique(np.asarray(users, dtype=np.int64))
        parts = []
        for table in self._feature_tables(experiment):
            parts.append(self._features(table, names, left))
            left = np.setdiff1d(left, parts[-1].column("user_id").to_numpy())
            if not len(left):
                break
        if len(left):
            missing = next(user for user in users if user in left)
            raise UnknownUserError(
                f"user_id = {missing}: not in the published snapshot of {experiment}; send attributes "
                "instead, or wait for the next run to know the user"
            )
        found = parts[0] if len(parts) == 1 else pa.concat_tables(parts).sort_by("user_id")
        place = np.searchsorted(found.column("user_id").to_numpy(), np.asarray(users, dtype=np.int64))
        x = np.column_stack([found.column(name).to_numpy() for name in names])
        return np.asarray(x[place], dtype=np.float32)

    def _feature_tables(self, experiment: str) -> list[str]:
        population = f"{experiment}_population"
        return [population, experiment] if population in self._populations else [experiment]

    def _features(self, table: str, names: Sequence[str], users: npt.NDArray[np.int64]) -> pa.Table:
        columns = ", ".join(f'"{name}"' for name in names)
        # The range lets DuckDB skip all row groups that cannot hold the users.
        return self.arrow(
            f'select user_id, {columns} from features."{table}" '
            "where user_id between $low and $high and user_id = any($users) order by user_id",
            {"low": int(users[0]), "high": int(users[-1]), "users": users.tolist()},
        )

    def role(self, experiment: Experiment, user: int) -> str:
        """What part the nightly list gives a user: ranked, explore, holdout or suppressed.

        As ``sql/decisions/roles.sql``, without the contact cap, which only the ledger knows.
        """
        draws = hashlib.md5(f"{experiment.split.salt}/list/{user}".encode(), usedforsecurity=False)
        draw = int.from_bytes(draws.digest()[8:], "little") / 2**64
        if draw < experiment.decisions.holdout:
            return "holdout"
        stopped = self.rows(
            "select 1 as one from decisions.suppressions where experiment = $experiment "
            "and user_id = $user and (until is null or until >= current_date)",
            {"experiment": experiment.name, "user": user},
        )
        if stopped:
            return "suppressed"
        explores = draw < experiment.decisions.holdout + experiment.decisions.explore
        return "explore" if explores else "ranked"

    def own_id(self, experiment: Experiment, user: int) -> str | None:
        """A user's id in the file, as it is written there; None where ``user_id`` itself is that."""
        if not experiment.own_id:
            return None
        column = '"' + experiment.own_id.replace('"', '""') + '"'
        for table in self._feature_tables(experiment.name):
            sql = f'select {column}::varchar as own_id from raw."{table}" where user_id = $user'
            if rows := self.rows(sql, {"user": user}):
                return str(rows[0]["own_id"])
        return None

    def smoke(self, experiment: str, names: Sequence[str]) -> tuple[Floats, list[dict[str, Any]]]:
        """Features of some users, and their scores by arm as the batch wrote them."""
        users = self.rows(f'select user_id from features."{experiment}" order by user_id limit 8')
        ids = [row["user_id"] for row in users]
        scores = self.rows(
            f'select * from scores."{experiment}" where user_id between $low and $high '
            "and user_id = any($users) order by arm, user_id",
            {"low": min(ids), "high": max(ids), "users": ids},
        )
        return self.features(experiment, names, ids), scores

    def _read_holdout(self, experiment: str, arm: str, learner: str) -> Distribution:
        # As sql/decisions/holdout_scores.sql, whose thresholds it must meet.
        found = self.arrow(
            f'select cate_{learner} as score, count(*) as n from scores."{experiment}" '
            "where arm = $arm and split = 'holdout' group by score order by score desc",
            {"arm": arm},
        )
        counts = found.column("n").to_numpy().astype(np.int64)
        return Distribution(found.column("score").to_numpy(), counts)


def open_snapshot(path: Path, snapshot_id: str, sha256: str) -> Snapshot:
    """Verify a snapshot file against its pointer, and open it read-only.

    Raises:
        UpliftError: its content is not what the pointer says.
        OSError, duckdb.Error: it cannot be read.
    """
    if sha256_file(path) != sha256:
        raise UpliftError(f"{path}: altered, its sha256 is not {sha256[:12]}… as the pointer says")
    return Snapshot(path, snapshot_id)
