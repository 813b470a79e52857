"""What each layer was made from, and the refusal of layers that do not belong together.

``quality.lineage`` holds, for every layer that stands, its version and those of what it was made from. A
version is a hash of these, so that a layer made anew of the same in the same way is the same. A layer
that an earlier version of this project made has no rows: it is not compared.
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
UNKNOWN = ""  # version of what nobody wrote down
LENGTH = 12  # characters of a version


@dataclass
class Layer:
    """A layer that stands: its version, who made it when, and the versions of what it was made from."""

    name: str
    version: str
    run_id: str
    made_at: datetime
    made_from: dict[str, str] = field(default_factory=dict)

    @property
    def when(self) -> str:
        """When it was made, for people."""
        return utc_text(self.made_at.replace(tzinfo=UTC))


def version_of(made_from: Mapping[str, str]) -> str:
    """The version of a layer that was made from these."""
    text = "\0".join(f"{name}\0{version}" for name, version in sorted(made_from.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def versions_of(db: Warehouse, experiment: str, layers: Iterable[str]) -> dict[str, str]:
    """The versions of layers that stand, by name; of those that nobody wrote down, ``UNKNOWN``."""
    stand = layers_of(db, experiment)
    return {name: stand[name].version if name in stand else UNKNOWN for name in layers}


def record_layer(
    db: Warehouse, experiment: str, layer: str, made_from: Mapping[str, str], *, run_id: str
) -> None:
    """Write down what a layer was just made from, in the transaction that makes it visible.

    Args:
        db: the warehouse.
        experiment: its name.
        layer: its name, as in Dagster.
        made_from: versions of other layers, a file's sha256, a model's version, by name.
        run_id: of the run that makes it.
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
    """The layers of an experiment that stand, as far as they were written down, by name."""
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
    """Refuse layers of which one was made from another version of a layer than the one that stands.

    Args:
        db: the warehouse.
        experiment: its name.
        needed: layers that are about to be used; what they were made from counts, too.
        but: layers whose past is their own affair.

    Raises:
        DataError: naming the layers and what to materialize.
    """
    stand = layers_of(db, experiment)
    chain = _with_sources(stand, needed, but)
    for source in chain:
        now = stand[source]
        stale = [
            n for n in chain if stand[n].made_from.get(source, UNKNOWN) not in {UNKNOWN, now.version}
        ]
        if stale:
            anew = [layer for layer in chain if {*stale} & {*_with_sources(stand, [layer])}]
            raise DataError(
                f"{experiment}: {' and '.join(stale)} {'were' if len(stale) > 1 else 'was'} made from "
                f"another {source} than the one that stands (of run {now.run_id[:8]}, {now.when}); they "
                f"do not belong together. Materialize {', '.join(anew)} anew, as the job "
                f"uplift_{experiment} does, or {source} as it was"
            )


def _with_sources(
    stand: Mapping[str, Layer], needed: Collection[str], but: Collection[str] = ()
) -> list[str]:
    """``needed`` and all that they were made from, sources first."""
    chain: list[str] = []

    def visit(name: str) -> None:
        if name in stand and name not in but and name not in chain:
            for source in stand[name].made_from:
                visit(source)
            chain.append(name)

    for name in needed:
        visit(name)
    return chain
