"""A look-alike of Criteo's file, of any size: a csv.gz in Criteo's format, and a file of true effects.

    make criteo-like ROWS=1000000
    python -m dagster_project.inputs.sources.lookalike --rows 1000000 --file criteo-like.csv.gz

The truth, ``<file>.truth.parquet``, holds user_id and the true effects on visit and conversion.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from rich.progress import Progress

from uplift_core.simulation.lookalike import FEATURES, Lookalike, lookalike_rct

SEED = 20260101
FASTEST = 1  # gzip's fastest level


def write_lookalike(rows: int, path: Path, *, seed: int = SEED, treated_share: float = 0.85) -> None:
    """Write the file and its truth in chunks; both appear when they are complete.

    Args:
        rows: number of users.
        path: the csv.gz to write.
        seed: seed of all draws; it gives the same rows on every machine.
        treated_share: .85 as in v2.1 of Criteo's file, .846 as in v1.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    truth = truth_of(path)
    parts = {target: target.with_name(f".{target.name}.part") for target in (path, truth)}
    with ExitStack() as stack:
        progress = stack.enter_context(Progress())
        task = progress.add_task(f"{rows:,} users", total=rows)
        raw = stack.enter_context(parts[path].open("wb"))
        # The header has neither name nor time, so equal rows give equal bytes.
        packed = stack.enter_context(gzip.GzipFile("", "wb", FASTEST, raw, mtime=0))
        plain = pyarrow.csv.WriteOptions(quoting_style="none", quoting_header="none")
        csv = stack.enter_context(pyarrow.csv.CSVWriter(packed, _table_schema(), write_options=plain))
        parquet = stack.enter_context(pq.ParquetWriter(parts[truth], _truth_schema()))
        for first, users in _numbered(lookalike_rct(rows, seed, treated_share=treated_share)):
            csv.write_table(_table(users))
            parquet.write_table(_truth(first, users))
            progress.advance(task, len(users.w))
    for target in (truth, path):
        parts[target].replace(target)


def truth_of(path: Path) -> Path:
    """Return the path of the file with a look-alike's true effects."""
    return path.with_name(f"{path.name.removesuffix('.csv.gz')}.truth.parquet")


def _numbered(chunks: Iterator[Lookalike]) -> Iterator[tuple[int, Lookalike]]:
    first = 1
    for users in chunks:
        yield first, users
        first += len(users.w)


def _table_schema() -> pa.Schema:
    flags = ("treatment", "conversion", "visit", "exposure")
    return pa.schema([(n, pa.float32()) for n in FEATURES] + [(n, pa.uint8()) for n in flags])


def _table(users: Lookalike) -> pa.Table:
    columns = [pa.array(column) for column in users.x.T]
    flags = [pa.array(f) for f in (users.w, users.conversion, users.visit, users.exposure)]
    return pa.table(columns + flags, schema=_table_schema())


def _truth_schema() -> pa.Schema:
    names = ("visit_effect", "conversion_effect")
    return pa.schema([("user_id", pa.int64()), *((name, pa.float64()) for name in names)])


def _truth(first: int, users: Lookalike) -> pa.Table:
    ids = np.arange(first, first + len(users.w))
    return pa.table([ids, users.visit_effect, users.conversion_effect], schema=_truth_schema())


def main() -> None:
    """Write a look-alike file from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--treated-share", type=float, default=0.85)
    parser.add_argument("--file", type=Path, required=True, help="the csv.gz to write")
    given = parser.parse_args()
    write_lookalike(given.rows, given.file, seed=given.seed, treated_share=given.treated_share)


if __name__ == "__main__":
    main()
