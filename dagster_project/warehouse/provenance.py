"""The sources of each layer, and the refusal of layers with different sources.

``quality.lineage`` holds the version of every current layer and the versions of its sources. A version
is a hash of the sources' versions, so a layer that is made again from the same sources has the same
version. A layer that an earlier version of this project made has no rows and is not compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from dagster_project.turns.waiting import utc_text
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.errors import DataError

LINEAGE = Identifier.of("quality", "lineage")
UNKNOWN = ""  # version of a layer without a record
LENGTH = 12  # number of characters of a version


@dataclass
class Layer:
    """A current layer: its version, its run, its time, and the versions of its sources."""

    name: str
    version: str
    run_id: str
    made_at: datetime
    made_from: dict[str, str] = field(default_factory=dict)

    @property
    def when(self) -> str:
        """The time when it was made, as text for people."""
        return utc_text(self.made_at.replace(tzinfo=UTC))


def version_of(made_from: Mapping[str, str]) -> str:
    """Return the version of a layer with these sources."""
    text = "\0".join(f"{name}\0{version}" for name, version in sorted(made_from.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def versions_of(db: Warehouse, experiment: str, layers: Iterable[str]) -> dict[str, str]:
    """Return the versions of current layers by name; ``UNKNOWN`` if a layer has no record."""
    current = layers_of(db, experiment)
    return {name: current[name].version if name in current else UNKNOWN for name in layers}


def record_layer(
    db: Warehouse, experiment: str, layer: str, made_from: Mapping[str, str], *, run_id: str
) -> None:
    """Record the sources of a new layer, in the transaction that makes it visible.

    Args:
        db: the warehouse.
        experiment: the experiment's name.
        layer: the layer's name, as in Dagster.
        made_from: versions of other layers, a file's sha256, a model's version, by name.
        run_id: the run that makes the layer.
    """
    shared = {
        "experiment": experiment,
        "layer": layer,
        "version": version_of(made_from),
        "run_id": run_id,
        "made_at": datetime.now(UTC).replace(tzinfo=None),
    }
    rows = [shared | {"made_from": n, "made_from_version": v} for n, v in made_from.items()]
    db.replace_rows(LINEAGE, {"experiment": experiment, "layer": layer}, pa.Table.from_pylist(rows))


def layers_of(db: Warehouse, experiment: str) -> dict[str, Layer]:
    """Return the recorded current layers of an experiment by name."""
    layers: dict[str, Layer] = {}
    rows = db.rows(
        "select layer, version, run_id, made_at, made_from, made_from_version "
        f"from {LINEAGE} where experiment = $experiment order by all",
        {"experiment": experiment},
    )
    for name, version, run_id, made_at, source, source_version in rows:
        layer = layers.setdefault(name, Layer(name, version, run_id, made_at))
        layer.made_from[source] = source_version
    return layers


def refuse_mixed_layers(
    db: Warehouse, experiment: str, needed: Collection[str], *, but: Collection[str] = ()
) -> None:
    """Refuse layers if one of them was made from another version of a source than the current one.

    Args:
        db: the warehouse.
        experiment: the experiment's name.
        needed: layers that are about to be used; their sources are checked, too.
        but: layers that are not checked.

    Raises:
        DataError: names the layers, and those to materialize.
    """
    current = layers_of(db, experiment)
    chain = _with_sources(current, needed, but)
    for source in chain:
        now = current[source]
        stale = [
            n for n in chain if current[n].made_from.get(source, UNKNOWN) not in {UNKNOWN, now.version}
        ]
        if stale:
            outdated = [layer for layer in chain if {*stale} & {*_with_sources(current, [layer])}]
            raise DataError(
                f"{experiment}: {' and '.join(stale)} {'were' if len(stale) > 1 else 'was'} made from "
                f"another {source} than the current one (of run {now.run_id[:8]}, {now.when}), so they "
                f"do not fit together. Materialize {', '.join(outdated)} again, as the job "
                f"uplift_{experiment} does, or {source} as it was"
            )


def _with_sources(
    current: Mapping[str, Layer], needed: Collection[str], but: Collection[str] = ()
) -> list[str]:
    """List ``needed`` and all their sources, sources first."""
    chain: list[str] = []

    def visit(name: str) -> None:
        if name in current and name not in but and name not in chain:
            for source in current[name].made_from:
                visit(source)
            chain.append(name)

    for name in needed:
        visit(name)
    return chain
