"""Compute features of users, with the same SQL that computes them in the batch."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa

from serve.attributes import USER_ID, Columns, RawSchema
from serve.compiled_expressions import NotExactError
from serve.compiled_features import CompiledFeatures, compile_features
from serve.errors import RequestError, UnavailableError
from serve.foreign_sql import refuse_other_sql
from serve.prepared import ROWS, PreparedQuery
from uplift_core.arrays import Floats
from uplift_core.artifacts.bundle import Manifest
from uplift_core.errors import BundleError

# The bundle's SQL reads one relation: it needs no files, no extensions, no threads and little memory.
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
    "threads": 1,
    "memory_limit": "1GB",
    "temp_directory": "",  # nothing is spilled
}
SECONDS = 30.0  # that the features of a request may take; a hundred thousand users take less than one
SECONDS_TO_LOAD = 5.0  # that they may take for no user


FEW_USERS = 32  # Python takes 20 µs a user, DuckDB 300 µs for one and hardly more for a hundred


class FeatureQuery:
    """A bundle's ``features.sql`` over an in-memory DuckDB whose raw table is the request.

    ``raw.<experiment>`` is a view on a relation that holds the request's rows. A history table is such a
    view, too: the request sends, for each user, the row that is known now.
    """

    def __init__(self, manifest: Manifest) -> None:
        name = manifest.experiment.name
        self.schema = RawSchema.of(name, manifest.raw_columns)
        self.names = manifest.features
        self._compiled: CompiledFeatures | None = None
        self._con = duckdb.connect(":memory:", config=CONFIG)
        empty = self.schema.empty()
        tables = [name, *(f"{name}_{table}" for table in manifest.experiment.tables)]
        refuse_other_sql(self._con, name, manifest.features_sql, tables)
        self._query = PreparedQuery(self._con, manifest.features_sql, empty, seconds=SECONDS)
        self._con.execute("set python_enable_replacements = false").fetchall()
        self._con.execute("create schema raw").fetchall()
        self._con.register(ROWS, empty)  # a view needs its relation when it is created
        self._con.execute(f'create view raw."{name}" as select * from {ROWS}').fetchall()
        for table in manifest.experiment.tables:
            table_columns = [column for column in manifest.raw_columns if column.table == table]
            columns = "".join(
                f", {_quoted(column.attribute)} as {_quoted(column.name)}" for column in table_columns
            )
            view = f'create view raw."{name}_{table}" as select user_id{columns} from {ROWS}'
            self._con.execute(view).fetchall()
        self._con.unregister(ROWS)
        self._con.execute("set lock_configuration = true").fetchall()
        missing = set(self.names) - self._try(name, empty)
        if missing:
            raise BundleError(f"{name}: features.sql does not compute {sorted(missing)}; train again")

    def _try(self, name: str, empty: pa.Table) -> set[str]:
        """Run the SQL on no user; return the names of its columns.

        Raises:
            BundleError: it fails, takes too much memory or too long.
        """
        try:
            return set(self._query.run(empty, seconds=SECONDS_TO_LOAD))
        except duckdb.InterruptException as error:
            raise BundleError(
                f"{name}: features.sql takes longer than {SECONDS_TO_LOAD} s for no user; train again"
            ) from error
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0]
            raise BundleError(f"{name}: features.sql does not run: {reason}; train again") from error

    def compiled(self, manifest: Manifest) -> CompiledFeatures | None:
        """Compile the SQL to Python; None if it has kinds of expressions that are not compiled."""
        return compile_features(self._con, manifest)

    def use(self, compiled: CompiledFeatures) -> None:
        """Compute the features of few users without SQL, see ``feature_proof``."""
        self._compiled = compiled

    def of_users(self, parts: Sequence[Columns]) -> Floats:
        """Compute features of the users in ``parts``, one part after the other; see ``features``."""
        few = sum(_size(part) for part in parts) <= FEW_USERS
        if few and self._compiled is not None and not any(map(_is_arrow, parts)):
            try:
                return np.vstack([self._compiled.features(part) for part in parts])
            except NotExactError:
                pass  # DuckDB decides how to round
        return self.features(self.schema.table(parts))

    def features(self, rows: pa.Table) -> Floats:
        """Compute features of users: (n, n_features) float32 in the model's order; NaN is missing.

        Args:
            rows: n users as ``schema`` makes them, numbered from 0 by ``user_id``.

        Raises:
            RequestError: the features of some user cannot be computed.
            UnavailableError: they take too long, or too much memory.
        """
        try:
            columns = self._query.run(rows)
        except (duckdb.InterruptException, duckdb.OutOfMemoryException) as error:
            raise UnavailableError(
                f"features.sql takes more than {SECONDS:.0f} s or {CONFIG['memory_limit']} for "
                f"{rows.num_rows} users; send fewer at once"
            ) from error
        except (duckdb.DataError, duckdb.InvalidInputException) as error:
            reason = str(error).partition("\n")[0]
            raise RequestError(f"attributes: no features can be computed from them: {reason}") from error
        place = columns[USER_ID]
        if len(place) != rows.num_rows or not np.array_equal(np.sort(place), np.arange(len(place))):
            raise RequestError(
                f"attributes: features.sql makes {len(place)} rows of {rows.num_rows} users"
            )
        x = np.empty((len(place), len(self.names)), dtype=np.float32)
        for j, name in enumerate(self.names):
            x[place, j] = np.ma.filled(columns[name], np.nan)  # NULL is missing
        if np.isinf(x).any():
            name = self.names[int(np.isinf(x).any(axis=0).argmax())]
            raise RequestError(
                f"attributes: feature '{name}' becomes infinite; "
                "send values within the range of the experiment's data"
            )
        return x


def _is_arrow(part: Columns) -> bool:
    return any(isinstance(values, pa.Array) for values in part.values())


def _size(part: Columns) -> int:
    return len(next(iter(part.values())))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
