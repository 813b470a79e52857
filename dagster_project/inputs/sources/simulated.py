"""A simulated RCT as a Parquet file, in the form of an external file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from uplift_core.experiment.sources import SimulationSource
from uplift_core.simulation.rct import MARKETING_FEATURES, Simulated, marketing_rct

COVARIATES = [f"x{i + 1}" for i in range(MARKETING_FEATURES)]


def write_simulation(source: SimulationSource, folder: Path) -> Path:
    """Write the simulation to ``folder`` in chunks; return the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"simulated-{source.design}-{source.n_users}-{source.seed}.parquet"
    temporary = path.with_name(f".{path.name}.part")
    chunks = _tables(marketing_rct(source.n_users, source.seed))
    first = next(chunks)
    with pq.ParquetWriter(temporary, first.schema) as writer:
        writer.write_table(first)
        for chunk in chunks:
            writer.write_table(chunk)
    temporary.replace(path)
    return path


def _tables(chunks: Iterator[Simulated]) -> Iterator[pa.Table]:
    for users in chunks:
        columns = {name: pa.array(users.x[:, i], pa.float32()) for i, name in enumerate(COVARIATES)}
        columns["treated"] = pa.array(users.w.astype("uint8"))
        columns["converted"] = pa.array(users.y.astype("uint8"))
        columns["p0"], columns["p1"] = pa.array(users.mu0), pa.array(users.mu1)
        yield pa.table(columns)
