"""Write a layer to the warehouse: it becomes visible to others after its checks, or not at all.

A layer is written and checked in one transaction of the warehouse. A layer that its checks refuse is
rolled back: the previous layer stays, and so does all that was made from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import dagster as dg

from dagster_project.checks.dagster_checks import CHECKS, Subject, check_result, look, refusal
from dagster_project.checks.findings import Finding, record
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.resources import Engine
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.provenance import record_layer, refuse_mixed_layers, versions_of

# Layers that leave the warehouse must be made of layers that belong together.
CLOSED = frozenset({"treat_list", "multi_arm_list", "export", "published"})
LEDGER = frozenset({"realised", "outcomes"})  # not compared: they measure lists of any night
NO_SOURCES = frozenset({"learned"})  # models that it makes are recorded as the layer `models`
# The steps of these layers refuse a warehouse whose ledger was lost.
NEED_LEDGER = frozenset({"raw", "treat_list", "published"})


class RefusedError(Exception):
    """The checks of a layer refuse it."""


class LayerWrite:
    """One materialization of one layer.

    Attributes:
        besides: name -> version of what the layer is made of besides other layers.
        noted: findings of the asset itself, besides those of the layer's checks.
        refused: whether the checks refused what was written; then it was rolled back.
    """

    def __init__(
        self, context: dg.AssetExecutionContext, engine: Engine, experiment: BatchExperiment, layer: str
    ) -> None:
        self._context, self._engine, self._layer = context, engine, layer
        self._experiment = experiment
        self._findings: list[Finding] = []
        self.besides: dict[str, str] = {}
        self.noted: list[Finding] = []
        self.refused = False

    @contextmanager
    def transaction(self, dates: Sequence[str] = ()) -> Iterator[Warehouse]:
        """Open the warehouse; what is written becomes visible at the end if the layer's checks pass.

        Args:
            dates: dates of the lists that are written, if the layer has lists.

        Raises:
            dagster.Failure: expected errors, among them layers that do not belong together.
        """
        name, layer = self._experiment.name, self._layer
        findings: list[Finding] = []
        try:
            with self._open() as db:
                if layer in CLOSED:
                    refuse_mixed_layers(db, name, self._sources, but=LEDGER)
                yield db
                findings += self.noted + look(db, Subject(self._experiment, self._engine, layer, dates))
                _stop_if_refused(findings)
                record(db, name, layer, findings)
                made_from = versions_of(db, name, self._sources) | self.besides
                record_layer(db, name, layer, made_from, run_id=self._context.run.run_id)
        except RefusedError:
            self.refused = True
            with self._engine.warehouse() as db:  # findings stay although the layer is rolled back
                record(db, name, layer, findings)
        finally:
            self._findings += findings

    def results(
        self, metadata: Mapping[str, dg.MetadataValue]
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Yield the materialization and the results of the layer's checks.

        Raises:
            dagster.Failure: the layer is refused; the message says why.
        """
        subject = Subject(self._experiment, self._engine, self._layer)
        checks = [check_result(subject, name, self._findings) for name in CHECKS.get(self._layer, ())]
        if self.refused:
            yield from checks
            raise refusal(subject, self._findings)
        yield dg.MaterializeResult(metadata=metadata, check_results=checks)

    def _open(self) -> AbstractContextManager[Warehouse]:
        needs = self._layer in NEED_LEDGER
        return self._engine.ledger(self._experiment) if needs else self._engine.warehouse()

    @property
    def _sources(self) -> list[str]:
        """Layers of the same experiment that the asset depends on."""
        keys = self._context.assets_def.asset_deps[self._context.asset_key]
        layers = {key.path[-1] for key in keys if key.path[0] == self._experiment.name}
        return sorted(layers - NO_SOURCES)


def _stop_if_refused(findings: Sequence[Finding]) -> None:
    if any(finding.refuses for finding in findings):
        raise RefusedError
