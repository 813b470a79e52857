"""A published snapshot that is open for reading."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from serve.errors import UnknownUserError
from serve.prepared import PreparedQuery
from uplift_core.arrays import Floats
from uplift_core.artifacts.files import sha256_file
from uplift_core.command_words import ROLLBACK, RUN
from uplift_core.errors import UpliftError
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.user_ids import number_in
from uplift_core.learners import LearnerName
from uplift_core.targeting.budget import Distribution

# The file is opened read-only, and SQL may read no other files but partitions.
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": 1,  # workers and requests run side by side
    "memory_limit": "1GB",
}
# Macros that the batch publishes with its tables: the rules of the lists.
RULES = ("draw_of", "excluded_users", "holdout_scores", "list_hash", "role_of")
PARTITIONS = "partitions"  # beside the folder of snapshots
_locking = threading.Lock()


def _lock_down(con: duckdb.DuckDBPyConnection, partitions: Path) -> None:
    """Let SQL read only the files that a cluster's workers wrote: the snapshot's views read them.

    A file that this process has open already gives the same DuckDB, which is locked already.
    """
    with _locking:
        if con.execute("select current_setting('lock_configuration')").fetchall() == [(True,)]:
            return
        folder = str(partitions).replace("'", "''")
        con.execute(f"set allowed_directories = ['{folder}']").fetchall()
        con.execute("set enable_external_access = false").fetchall()
        con.execute("set lock_configuration = true").fetchall()


class Snapshot:
    """An immutable DuckDB file. Thresholds and distributions that were read once are cached."""

    def __init__(self, path: Path, snapshot_id: str) -> None:
        self.snapshot_id = snapshot_id
        self._con = duckdb.connect(str(path), read_only=True, config=CONFIG)
        _lock_down(self._con, path.absolute().parent.parent / PARTITIONS)
        self._lock = threading.Lock()
        tables = self.rows(
            "select table_name from duckdb_tables() where schema_name = 'features' "
            "and ends_with(table_name, '_population')"
        )
        self._populations = {str(row["table_name"]) for row in tables}
        self._distributions: dict[tuple[str, str, str], Distribution] = {}
        self._thresholds: dict[tuple[str, str, str, float], float] = {}

    def arrow(self, sql: str, binds: Mapping[str, object] = {}) -> pa.Table:
        """Run a query; return its rows as an Arrow table."""
        with self._con.cursor() as cursor:
            return cursor.sql(sql, params=dict(binds)).to_arrow_table()

    @contextmanager
    def reader(self, sql: str, binds: Mapping[str, object], rows: int) -> Iterator[pa.RecordBatchReader]:
        """Run a query; yield its rows by batches, of which one at a time is in memory."""
        with self._con.cursor() as cursor:
            yield cursor.sql(sql, params=dict(binds)).to_arrow_reader(rows)

    def rows(self, sql: str, binds: Mapping[str, object] = {}) -> list[dict[str, Any]]:
        """Run a query; return its rows as one dict per row."""
        rows: list[dict[str, Any]] = self.arrow(sql, binds).to_pylist()
        return rows

    def rows_if_published(
        self, table: str, sql: str, binds: Mapping[str, object] = {}
    ) -> list[dict[str, Any]]:
        """Run a query on a table that earlier versions do not publish; without it there are no rows."""
        return self.rows(sql, binds) if self.has(table) else []

    def has(self, table: str) -> bool:
        """Return true if the snapshot has a table, such as ``decisions.listed``."""
        sql = "select 1 from duckdb_tables() where schema_name || '.' || table_name = $table"
        return bool(self.rows(sql, {"table": table}))

    def columns(self, sql: str, binds: Mapping[str, object] = {}) -> Mapping[str, np.ndarray]:
        """Run a query; return one array per column, masked where values are null."""
        with self._con.cursor() as cursor:
            columns: Mapping[str, np.ndarray] = cursor.execute(sql, dict(binds)).fetchnumpy()
            return columns

    def of_users(
        self, sql: str, binds: Mapping[str, object], users: npt.NDArray[np.int64]
    ) -> Mapping[str, np.ndarray]:
        """Run a query for some users by ``user_id``; return its columns.

        Args:
            sql: a query that ends with its WHERE clause, or without one.
            binds: values of the parameters in ``sql``.
            users: (n,) ids, at least one, distinct and ascending.
        """
        # The range lets DuckDB skip row groups that cannot hold the users.
        condition = "user_id between $low_user and $high_user"
        ids: dict[str, object] = {"low_user": int(users[0]), "high_user": int(users[-1])}
        if len(users) > 1:  # for one user the range is enough, and a third faster
            condition += " and user_id = any($users)"
            ids["users"] = users.tolist()
        joined = "and" if " where " in sql else "where"
        return self.columns(f"{sql} {joined} {condition}", {**binds, **ids})

    def prepared(self, sql: str, empty: pa.Table, variables: Mapping[str, object]) -> PreparedQuery:
        """Make a query over the rows of a request; it is planned once."""
        return PreparedQuery(self._con, sql, empty, variables)

    def threshold(self, experiment: str, arm: str, learner: LearnerName, budget: float) -> float:
        """Return the smallest score that is treated at this budget, from the held-out users.

        Infinity means that nobody is treated. The names must come from the experiment's declaration.
        """
        key = (experiment, arm, learner, budget)
        if key not in self._thresholds:
            if len(self._thresholds) > 10_000:  # noqa: PLR2004 - a bound: callers may send any budget
                self._thresholds.clear()
            self._thresholds[key] = self.holdout(experiment, arm, learner).threshold(budget)
        return self._thresholds[key]

    def holdout(self, experiment: str, arm: str, learner: LearnerName) -> Distribution:
        """Return the distribution of held-out users' scores."""
        key = (experiment, arm, learner)
        with self._lock:  # so that two first requests do not both scan the table
            if key not in self._distributions:
                self._distributions[key] = self._read_holdout(*key)
            return self._distributions[key]

    def features(self, experiment: str, names: Sequence[str], users: Sequence[int]) -> Floats:
        """Read features of users by id, (n, n_features) float32 in the order of ``names``.

        If the experiment declares a population, users are searched there first.

        Raises:
            UnknownUserError: a user is not in the snapshot.
        """
        distinct, place = np.unique(np.asarray(users, np.int64), return_inverse=True)
        columns = ", ".join(f'"{name}"' for name in names)
        x = np.empty((len(distinct), len(names)), np.float32)
        left = distinct
        for table in self._feature_tables(experiment):
            known = self.of_users(f'select user_id, {columns} from features."{table}"', {}, left)
            at = np.searchsorted(distinct, known["user_id"])
            for j, name in enumerate(names):
                x[at, j] = np.ma.filled(known[name], np.nan)  # NULL is missing
            left = np.setdiff1d(left, known["user_id"])
            if not len(left):
                return x[place]
        missing = next(user for user in users if user in left)
        raise UnknownUserError(
            f"user_id = {missing}: not in the published snapshot of {experiment}; send attributes "
            "instead, or wait for the next run to know the user"
        )

    def _feature_tables(self, experiment: str) -> list[str]:
        population = f"{experiment}_population"
        return [population, experiment] if population in self._populations else [experiment]

    def listed_users(self, experiment: str) -> str:
        """Name the raw table of the users of an experiment's lists, as SQL."""
        return f'raw."{self._feature_tables(experiment)[0]}"'

    @staticmethod
    def as_text(column: str) -> str:
        """Return the SQL of a raw column's value as the batch writes it for the draws."""
        return '"' + column.replace('"', '""') + '"::varchar'

    def clusters(self, experiment: str, column: str, users: npt.NDArray[np.int64]) -> list[str]:
        """Read the clusters of users by id, (n,) distinct and ascending, from the raw column.

        Raises:
            UnknownUserError: a user is not in the snapshot.
        """
        known: dict[int, str] = {}
        left = users
        for table in self._feature_tables(experiment):
            sql = f'select user_id, {self.as_text(column)} as cluster from raw."{table}"'
            rows = self.of_users(sql, {}, left)
            known |= dict(zip(rows["user_id"].tolist(), rows["cluster"].tolist(), strict=True))
            left = np.setdiff1d(left, rows["user_id"])
            if not len(left):
                return [known[user] for user in users.tolist()]
        raise UnknownUserError(f"user_id = {left[0]}: not in the published snapshot of {experiment}")

    def user_ids(self, experiment: Experiment, user: str) -> set[int]:
        """Find users by the id that the file writes, or else by ``user_id``; empty if nobody has it.

        A file may write one id in several rows.
        """
        if numbers := self.users_by_text(experiment, [user]).get(user):
            return {*numbers}
        number = number_in(user)
        for table in self._feature_tables(experiment.name):
            if number is not None and self.rows(
                f'select 1 from raw."{table}" where user_id = $user', {"user": number}
            ):
                return {number}
        return set()

    def users_by_text(self, experiment: Experiment, texts: Sequence[str]) -> dict[str, list[int]]:
        """Find users by the ids that the file writes: id -> ``user_id``, ascending, of those known."""
        users: dict[str, list[int]] = {}
        for table in self._feature_tables(experiment.name) if experiment.id_column else ():
            column, left = self.as_text(experiment.id_column), [t for t in texts if t not in users]
            sql = (
                f"select {column} as own_id, list(user_id order by user_id) as numbers "
                f'from raw."{table}" where {column} = any($texts) group by {column}'
            )
            rows = self.rows(sql, {"texts": left}) if left else []
            users |= {str(row["own_id"]): row["numbers"] for row in rows}
        return users

    def own_id(self, experiment: Experiment, user: int) -> str | None:
        """Return a user's id as the file writes it; None if the file's id is ``user_id``."""
        if not experiment.id_column:
            return None
        column = self.as_text(experiment.id_column)
        for table in self._feature_tables(experiment.name):
            sql = f'select {column} as own_id from raw."{table}" where user_id = $user'
            if rows := self.rows(sql, {"user": user}):
                return str(rows[0]["own_id"])
        return None

    def own_id_sql(self, experiment: Experiment, of: str) -> tuple[str, str]:
        """Return the column of users' ids as the file writes them, and the joins that it needs, in SQL.

        Both are empty if the file's id is ``user_id``. ``of`` is the table with the users' numbers.
        """
        if not experiment.id_column:
            return "", ""
        column = self.as_text(experiment.id_column)
        joins = [
            f'left join (select user_id as user_{i}, {column} as own_{i} from raw."{table}") '
            f"as raw_{i} on user_{i} = {of}.user_id"
            for i, table in enumerate(self._feature_tables(experiment.name))
        ]
        ids = ", ".join(f"own_{i}" for i in range(len(joins)))
        return f'coalesce({ids}) as "{experiment.id_column}"', " ".join(joins)

    def smoke(self, experiment: str, names: Sequence[str]) -> tuple[Floats, list[dict[str, Any]]]:
        """Read the features of some users, and the scores by arm that the batch wrote for them."""
        users = self.rows(f'select user_id from features."{experiment}" order by user_id limit 8')
        ids = [row["user_id"] for row in users]
        scores = self.rows(
            f'select * from scores."{experiment}" where user_id between $low and $high '
            "and user_id = any($users) order by arm, user_id",
            {"low": min(ids), "high": max(ids), "users": ids},
        )
        return self.features(experiment, names, ids), scores

    def _read_holdout(self, experiment: str, arm: str, learner: str) -> Distribution:
        held_out = self.columns(
            "from decisions.holdout_scores($experiment, $arm, $learner)",
            {"experiment": experiment, "arm": arm, "learner": learner},
        )
        return Distribution(held_out["score"], held_out["n"].astype(np.int64))


def open_snapshot(path: Path, snapshot_id: str, sha256: str) -> Snapshot:
    """Verify a snapshot file against its pointer, and open it read-only.

    Raises:
        UpliftError: its sha256 is not the pointer's, or it lacks the rules of the lists.
        OSError, duckdb.Error: it cannot be read.
    """
    if sha256_file(path) != sha256:
        raise UpliftError(
            f"{path}: altered, its sha256 is not {sha256[:12]}… as the pointer says; run `{ROLLBACK}`"
        )
    snapshot = Snapshot(path, snapshot_id)
    rules = snapshot.rows(
        "select distinct function_name from duckdb_functions() where schema_name = 'decisions' "
        "order by all"
    )
    missing = {*RULES} - {row["function_name"] for row in rules}
    if missing:
        raise UpliftError(
            f"{path}: published by an earlier version, without the rules of lists "
            f"({', '.join(sorted(missing))}); publish again: {RUN}"
        )
    return snapshot
