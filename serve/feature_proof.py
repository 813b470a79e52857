"""Prove that compiled features equal DuckDB's to the bit, on a snapshot's rows and on edge values."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

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


def compile_if_equal(query: FeatureQuery, snapshot: Snapshot, manifest: Manifest) -> None:
    """Let ``query`` compute few users without SQL, if that is proven to give equal features."""
    name = manifest.experiment.name
    compiled = query.compiled(manifest)
    if compiled is None:
        LOG.info("%s: DuckDB runs features.sql for every request: it is not compiled", name)
        return
    rows = [user for user in _snapshot_rows(snapshot, manifest) if _is_valid(query, user)]
    for users in (rows, *([user] for user in _edge_rows(query, manifest.raw_columns, rows))):
        if not _equal(query, compiled, users):
            LOG.warning("%s: compiled features differ from DuckDB's; DuckDB computes them", name)
            return
    query.use(compiled)


def _snapshot_rows(snapshot: Snapshot, manifest: Manifest) -> Iterator[dict[str, Any]]:
    columns = ", ".join('"' + c.name.replace('"', '""') + '"' for c in manifest.raw_columns)
    yield from snapshot.rows(
        f'select {columns} from raw."{manifest.experiment.name}" limit {PROOF_ROWS}'
    )


def _edge_rows(
    query: FeatureQuery, raw_columns: Sequence[RawColumn], rows: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield valid users, each with one unusual value; the other values are a user's of the snapshot."""
    for column in raw_columns:
        limits = [limit for limit in (column.low, column.high) if limit is not None]
        for value in (None, *limits, *(column.levels or ())[:MAX_LEVELS], *EDGES, "", "é", True, False):
            for row in rows[:1]:
                user = dict(row) | {column.name: value}
                if _is_valid(query, user):
                    yield user


def _is_valid(query: FeatureQuery, user: Mapping[str, Any]) -> bool:
    """Whether a request can have these values; a user of the snapshot may have others."""
    try:
        query.schema.rows([user])
    except RequestError:
        return False
    return True


def _equal(query: FeatureQuery, compiled: CompiledFeatures, users: Sequence[Mapping[str, Any]]) -> bool:
    """Compare the features of valid users, but for those whom the compiled form leaves to DuckDB."""
    features, exact = [], []
    for user in users:
        try:
            features.append(compiled.features(query.schema.rows([user])))
        except NotExactError:
            continue
        exact.append(user)
    if not exact:
        return True
    try:
        expected = query.features(query.schema.table([query.schema.rows(exact)]))
    except RequestError:
        return False
    return np.vstack(features).tobytes() == expected.tobytes()
