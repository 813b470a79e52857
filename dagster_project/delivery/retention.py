"""Remove what is older than an experiment's ``[retention]`` says, and count it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from dagster_project.decisions.records import MEASURED, NIGHTS, OUTCOMES, TREAT_LIST
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.old_runs import old_runs, remove_run
from dagster_project.delivery.stores import Store
from dagster_project.training.registry import current_version
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.ledger_view import PARTS, rows_table, show_parts
from uplift_core.artifacts.files import remove_whole
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import recorded_pointers

REMOVED = ".removed-"  # folders that a killed run leaves; nobody reads them
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Removed:
    """What was removed: ``what`` names the kind, ``names`` what it was, ``rows`` its rows by user."""

    what: str
    names: tuple[str, ...]
    rows: int = 0


@dataclass(frozen=True)
class Pruning:
    """Where an experiment's old lists and models are, and the date from which days are counted back."""

    db: Warehouse
    home: Home
    store: Store
    experiment: BatchExperiment
    today: date
    instance: dg.DagsterInstance
    only_told: bool = False  # remove nothing

    def ledger(self) -> Removed:
        """Delete the rows by user of old lists; ``decisions.nights`` keeps their counts.

        The call is part of the caller's transaction. DuckDB uses the space again; its file does not
        shrink.
        """
        days = self.experiment.declaration.retention.ledger_days
        dates = tuple(self._dates_before(days)) if days else ()
        if not dates:
            return Removed("lists in the ledger", ())
        where = "where experiment = $experiment and decision_date in (select unnest($dates::date[]))"
        binds = {"experiment": self.experiment.name, "dates": list(dates)}
        table = rows_table(self.db)
        (rows,) = self.db.one(f"select count(*) from {table} {where}", binds)
        present = self.db.rows(
            f"select distinct decision_date::varchar from {table} {where} union "
            f"select decision_date::varchar from {PARTS} {where} order by all",
            binds,
        )
        if not self.only_told:
            self.db.rows(f"delete from {table} {where}", binds)
            self.db.rows(f"delete from {PARTS} {where}", binds)
            self.db.rows(f"delete from {MEASURED} {where}", binds)
            show_parts(self.db)
            self.db.rows(
                f"delete from {OUTCOMES} where experiment = $experiment and moment < "
                f"(select min(decision_date) from {TREAT_LIST} where experiment = $experiment)",
                {"experiment": self.experiment.name},
            )
        return Removed("lists in the ledger", tuple(str(day) for (day,) in present), int(rows))

    def exports(self) -> Removed:
        """Remove the exported files of old lists, but never those of the newest list."""
        days = self.experiment.declaration.retention.exports_days
        if not days:
            return Removed("exports", ())
        names = [name for name in self.store.folders(self.experiment.name) if DATE.fullmatch(name)]
        old = [name for name in sorted(names)[:-1] if name < self._first_kept(days)]
        for name in () if self.only_told else old:
            self.store.remove_folder(f"{self.experiment.name}/{name}")
        return Removed("exports", tuple(old))

    def models(self) -> Removed:
        """Remove bundles and cards that nothing refers to any more."""
        days = self.experiment.declaration.retention.models_days
        if not days:
            return Removed("models", ())
        used = self._used_versions(days)
        since = datetime.combine(self.today, time(), UTC) - timedelta(days=days)
        version = re.compile(rf"{re.escape(self.experiment.name)}-[0-9a-f]{{12}}")
        old = {
            folder.name
            for root in (self.home.bundles, self.home.cards)
            for folder in root.glob(f"{self.experiment.name}-*")
            if version.fullmatch(folder.name) and folder.name not in used and _older(folder, since)
        }
        for name in () if self.only_told else sorted(old):
            for root in (self.home.bundles, self.home.cards):
                if (root / name).exists():
                    remove_whole(root / name, REMOVED, root)
        return Removed("models", tuple(sorted(old)))

    def runs(self) -> Removed:
        """Remove old runs from Dagster's store; see ``old_runs``."""
        declared = self.experiment.declaration.retention
        if not declared.prunes:
            return Removed("runs", ())
        before = datetime.combine(self.today, time(), UTC) - timedelta(days=declared.runs_days)
        old = old_runs(self.instance, self.experiment.name, before)
        for run_id in () if self.only_told else old:
            remove_run(self.instance, run_id)
        return Removed("runs", tuple(run_id[:8] for run_id in old))

    def _used_versions(self, days: int) -> set[str]:
        rows = self.db.rows(
            f"select distinct model_version from {NIGHTS} where experiment = $experiment "
            "and decision_date >= $since::date",
            {"experiment": self.experiment.name, "since": self._first_kept(days)},
        )
        published = {
            entry.model_version
            for pointer in recorded_pointers(self.home.published)
            for name, entry in pointer.experiments.items()
            if name == self.experiment.name
        }
        return (
            {str(row[0]) for row in rows} | published | {current_version(self.db, self.experiment.name)}
        )

    def _dates_before(self, days: int) -> Iterator[str]:
        """Yield the dates of lists that are older, without each campaign's two newest."""
        rows = self.db.rows(
            f"select distinct decision_date::varchar from {NIGHTS} where experiment = $experiment "
            "and decision_date < $since::date and decision_date not in ("
            f"select decision_date from {NIGHTS} where experiment = $experiment qualify "
            "row_number() over (partition by campaign order by decision_date desc) <= 2) order by all",
            {"experiment": self.experiment.name, "since": self._first_kept(days)},
        )
        return (str(day) for (day,) in rows)

    def _first_kept(self, days: int) -> str:
        return (self.today - timedelta(days=days)).isoformat()


def prune(pruning: Pruning) -> list[Removed]:
    """Remove lists, exports, models and runs as declared; return what was removed, by kind."""
    steps: tuple[Callable[[], Removed], ...] = (
        *(pruning.ledger, pruning.exports, pruning.models, pruning.runs),
    )
    return [step() for step in steps]


def as_metadata(removed: list[Removed], *, only_told: bool = False) -> dict[str, Any]:
    """Return, by kind, what was removed, or would be: counts, and the first and last name."""
    word = "to remove" if only_told else "removed"
    return {
        each.what: (
            f"{len(each.names)} {word}, {each.names[0]} to {each.names[-1]}"
            + (f", {each.rows:,} rows" if each.rows else "")
            if each.names
            else f"none {word}"
        )
        for each in removed
    }


def _older(folder: Path, since: datetime) -> bool:
    return datetime.fromtimestamp(folder.stat().st_mtime, UTC) < since
