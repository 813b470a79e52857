"""Features of one user, by the very SQL that computed them in the batch."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import numpy as np
import pyarrow as pa

from serve.attributes import RawSchema
from serve.errors import RequestError
from uplift_core.boosting import Floats
from uplift_core.bundle import Manifest
from uplift_core.errors import BundleError

ROWS = "request_rows"
# The SQL comes with the bundle and reads its one relation: no files, no extensions, no threads.
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
    "threads": 1,
}


class FeatureQuery:
    """A bundle's ``features.sql`` over an in-memory DuckDB whose raw table is the request.

    ``raw.<experiment>`` is a view on a relation that every request registers on a cursor of its
    own, so requests may run side by side.
    """

    def __init__(self, manifest: Manifest) -> None:
        name = manifest.experiment.name
        self._schema = RawSchema.of(name, manifest.raw_columns)
        self._sql = manifest.features_sql
        self._features = manifest.features
        self._con = duckdb.connect(":memory:", config=CONFIG)
        empty = self._schema.empty()
        self._con.execute("set python_enable_replacements = false").fetchall()
        self._con.execute("create schema raw").fetchall()
        self._con.register(ROWS, empty)  # a view is bound when it is made
        self._con.execute(f'create view raw."{name}" as select * from {ROWS}').fetchall()
        self._con.unregister(ROWS)
        self._con.execute("set lock_configuration = true").fetchall()
        missing = set(self._features) - set(self._run(empty).column_names)
        if missing:
            raise BundleError(f"{name}: features.sql does not compute {sorted(missing)}; train again")

    def features(self, attributes: Mapping[str, object]) -> Floats:
        """Features of one user: (1, n_features) float32 in the model's order; NaN is missing.

        Raises:
            RequestError: the attributes are not those of the experiment, or no feature can be
                computed from their values.
        """
        row = self._schema.row(attributes)
        try:
            found = self._run(row)
        except (duckdb.DataError, duckdb.InvalidInputException) as error:
            reason = str(error).partition("\n")[0]
            raise RequestError(f"attributes: no features can be computed from them: {reason}") from error
        if found.num_rows != 1:
            raise RequestError(
                f"attributes: features.sql makes {found.num_rows} rows of this user, expected 1"
            )
        columns = [found.column(name).to_numpy() for name in self._features]
        x = np.column_stack(columns).astype(np.float32)
        infinite = [name for name, value in zip(self._features, x[0], strict=True) if np.isinf(value)]
        if infinite:
            raise RequestError(
                f"attributes: feature '{infinite[0]}' becomes infinite; "
                "send values within the range of the experiment's data"
            )
        return x

    def _run(self, rows: pa.Table) -> pa.Table:
        with self._con.cursor() as cursor:
            cursor.register(ROWS, rows)
            return cursor.sql(self._sql).to_arrow_table()
