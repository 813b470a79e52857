"""Prove that compiled features equal DuckDB's to the bit, on a snapshot's rows and on edge values."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from serve.attributes import Columns
from serve.compiled_expressions import NotExactError
from serve.compiled_features import CompiledFeatures
from serve.errors import RequestError
from serve.features import FeatureQuery
from serve.snapshot import Snapshot
from uplift_core.artifacts.bundle import Manifest, RawColumn

LOG = logging.getLogger(__name__)
PROOF_ROWS = 1000  # rows of the snapshot
MAX_LEVELS = 50  # categories of a column that are tried
EDGES = (0, -0.0, 1, -1, 0.1, -1.5, 255, 2**24 + 1, 2**31, 2**53 + 1, 1e-45, 3.4028235e38, 1e300)

_Valid = tuple[Mapping[str, Any], Columns]  # a user, and their values as a request's are checked


def compile_if_equal(query: FeatureQuery, snapshot: Snapshot, manifest: Manifest) -> None:
    """Let ``query`` compute few users without SQL, if that is proven to give equal features."""
    name = manifest.experiment.name
    compiled = query.compiled(manifest)
    if compiled is None:
        LOG.info("%s: DuckDB runs features.sql for every request: it is not compiled", name)
        return
    rows = [*_valid(query, _snapshot_rows(snapshot, manifest))]
    edges = _valid(query, _edge_rows(manifest.raw_columns, rows))
    if _equal(query, compiled, [checked for _, checked in (*rows, *edges)]):
        query.use(compiled)
    else:
        LOG.warning("%s: compiled features differ from DuckDB's; DuckDB computes them", name)


def _snapshot_rows(snapshot: Snapshot, manifest: Manifest) -> Iterator[dict[str, Any]]:
    columns = ", ".join('"' + c.name.replace('"', '""') + '"' for c in manifest.raw_columns)
    yield from snapshot.rows(
        f'select {columns} from raw."{manifest.experiment.name}" limit {PROOF_ROWS}'
    )


def _edge_rows(raw_columns: Sequence[RawColumn], rows: Sequence[_Valid]) -> Iterator[dict[str, Any]]:
    """Yield users, each with one unusual value; the other values are a user's of the snapshot."""
    for column in raw_columns:
        limits = [limit for limit in (column.low, column.high) if limit is not None]
        for value in (None, *limits, *(column.levels or ())[:MAX_LEVELS], *EDGES, "", "é", True, False):
            for user, _ in rows[:1]:
                yield dict(user) | {column.name: value}


def _valid(query: FeatureQuery, users: Iterable[Mapping[str, Any]]) -> Iterator[_Valid]:
    """Yield the users whose values a request can have, and these values, checked."""
    for user in users:
        with suppress(RequestError):
            yield user, query.schema.rows([user])


def _equal(query: FeatureQuery, compiled: CompiledFeatures, users: Sequence[Columns]) -> bool:
    """Compare the features of valid users, but for those whom the compiled form leaves to DuckDB."""
    features, exact = [], []
    for user in users:
        with suppress(NotExactError):
            features.append(compiled.features(user))
            exact.append(user)
    if not exact:
        return True
    try:
        expected = query.features(query.schema.table(exact))
    except RequestError:
        return False
    return np.vstack(features).tobytes() == expected.tobytes()
