"""Bulk work on Dask's workers, part by part. Workers and this machine exchange files on a shared disk.

The rows of users stay in partitions. The warehouse reads them through views that have the names of the
tables of one machine, so checks and evaluation use the same SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from dagster_project.compute import Compute, LayerQuery, Log
from dagster_project.compute.cluster import tasks as work
from dagster_project.compute.cluster.dask_client import Address, connected
from dagster_project.compute.cluster.export import write_parts
from dagster_project.compute.cluster.jobs import Tasks
from dagster_project.compute.cluster.lists import Ranging, roles_in_parts
from dagster_project.compute.cluster.row_local_sql import refuse_across_users
from dagster_project.compute.cluster.tasks import MERGED, CellRange, Limits, Query
from dagster_project.compute.cluster.training import Job, train_on_one, train_together
from dagster_project.decisions.role_counts import ListRequest
from dagster_project.decisions.roles import Roles, assign_roles, treats_whole_clusters
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export_files import Sheet, write_whole
from dagster_project.inputs.own_files import SourceFile, parts_of
from dagster_project.inputs.raw import check_columns
from dagster_project.training.cells import features_of, find_edges, of_parts, value_counts
from dagster_project.training.fitting import Trained
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.partitions import Generation, Part, same_columns
from dagster_project.warehouse.sql import Identifier, literal, render
from dagster_project.warehouse.table_names import VIEW
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.id_key import read_id_key
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges
from uplift_core.errors import DataError, ExperimentError
from uplift_core.experiment.declaration import RAW_SQL

CHUNK = 1_000_000  # cells that one task predicts


@dataclass(frozen=True)
class Cluster(Compute):
    """A ``Compute`` that works on Dask's workers.

    Attributes:
        home: the home; all workers see its files at the same path.
        address: the scheduler's address.
        memory_limit: DuckDB's memory for one task.
        threads: threads of one worker to train and to merge with; with as many threads, one machine
            trains the same models.
        cells_per_worker: largest number of cells that one worker trains alone.
        range_users: largest number of a list's users that one task ranks.
    """

    home: Home
    address: Address
    memory_limit: str
    threads: int
    cells_per_worker: int
    range_users: int

    def load(self, db: Warehouse, experiment: BatchExperiment, source: SourceFile) -> tuple[int, str]:
        """See ``Compute.load``."""
        if experiment.declaration.tables:
            raise ExperimentError(
                f"{experiment.name}: history tables are not read in parts yet; unset UPLIFT_CLUSTER"
            )
        sql = (experiment.path / RAW_SQL).read_text(encoding="utf-8")
        refuse_across_users(f"{experiment.name}: {RAW_SQL}", sql)
        files = parts_of(source.path)
        numbered = experiment.declaration.user_id == "row_number"
        tasks = self._tasks(experiment.name)
        key = read_id_key(self.home) if experiment.declaration.id_hash == "keyed" else None
        read = tasks.new("read" if numbered else "raw")
        parts = tasks.query(
            "read",
            [
                Query(
                    sql,
                    read.path(i),
                    binds={"source": str(file)},
                    author=f"{experiment.name}: {file.name} cannot be read by {RAW_SQL}; it",
                    signed=True,
                    id_key=key,
                )
                for i, file in enumerate(files)
            ],
        )
        same_columns(experiment.name, parts)
        rows = self._view(
            db, experiment.tables.raw, self._shift(experiment, read, parts) if numbered else read
        )
        check_columns(db, experiment)
        return rows, source.sha256

    def _shift(self, experiment: BatchExperiment, read: Generation, parts: Sequence[Part]) -> Generation:
        """Turn row numbers of parts into row numbers of the whole file."""
        tasks = self._tasks(experiment.name)
        shifted = tasks.new("raw")
        before = [0, *accumulate(part.rows for part in parts)]
        sql = "select * replace (user_id + $before as user_id) from parts"
        queries = [
            Query(sql, shifted.path(i), {MERGED: str(part.path)}, {"before": before[i]})
            for i, part in enumerate(parts)
        ]
        tasks.query("number", queries)
        read.remove()
        return shifted

    def per_user(self, db: Warehouse, experiment: BatchExperiment, query: LayerQuery) -> int:
        """See ``Compute.per_user``.

        Raises:
            DataError: the chance of the treatment differs between users, which cells of parts do not
                have; or the experiment declares an exposure or a weight.
        """
        for key in ("exposure", "weight"):
            if column := getattr(experiment.declaration, key):
                raise DataError(
                    f"{experiment.name}: {key} = '{column}' is not worked on by Dask's workers yet; run "
                    "without UPLIFT_CLUSTER"
                )
        if experiment.declaration.propensity_varies:
            raise DataError(
                f"{experiment.name}: strata and propensity_column are not worked on by Dask's workers "
                "yet; run without UPLIFT_CLUSTER"
            )
        if query.author:
            refuse_across_users(query.author, experiment.features_sql.text)
        tasks = self._tasks(experiment.name)
        rows = tasks.new(query.layer)
        parts = [
            Query(query.sql, rows.path(i), {experiment.tables.raw: file}, query.binds, query.author)
            for i, file in enumerate(self._files(db, experiment.tables.raw))
        ]
        tasks.query(query.layer, parts)
        return self._view(db, Identifier.of(query.layer, experiment.name), rows)

    def cells(self, db: Warehouse, experiment: BatchExperiment) -> BinEdges:
        """See ``Compute.cells``.

        Raises:
            DataError: the experiment declares clusters. Their errors need the cell of every user, which
                workers number anew in each part.
        """
        if experiment.declaration.cluster:
            raise DataError(
                f"{experiment.name}: cluster = '{experiment.declaration.cluster}' is not worked on by "
                "Dask's workers, because errors by cluster need all users in one place; run without "
                "UPLIFT_CLUSTER"
            )
        tables, tasks = experiment.tables, self._tasks(experiment.name)
        files = zip(self._files(db, tables.features), self._files(db, tables.assignment), strict=True)
        reads = [{tables.features: f, tables.assignment: a} for f, a in files]
        edges = self._edges(db, experiment, reads)
        parts_by_name = {
            name: tasks.new(f"part_{name}") for name in ("user_cells", "feature_cells", "cells")
        }
        calls = [
            (
                tasks.limits,
                experiment,
                edges,
                read,
                {name: to.path(i) for name, to in parts_by_name.items()},
            )
            for i, read in enumerate(reads)
        ]
        parts = tasks.run("cells", work.cells_of_part, calls)
        users = sum(part["user_cells"].rows for part in parts)
        if users != db.count(tables.features):
            raise DataError(f"{experiment.name}: {users} users have a cell, not all")
        sql = render(
            "training/merged_cells.sql",
            parts=MERGED,
            feature_list=Identifier.listed(edges.features),
            outcomes=experiment.outcomes,
        )
        merged = tasks.merge("merged_cells", sql, [part["cells"].path for part in parts])
        whole = {name: tasks.new(name) for name in ("feature_cells", "cells")}
        targets = {name: to.path(0) for name, to in whole.items()}
        call = (tasks.wide, experiment, edges.features, merged, targets)
        tasks.run("number-cells", work.number_cells, [call])
        self._view(db, tables.feature_cells, whole["feature_cells"])
        self._view(db, tables.cells, whole["cells"])
        db.drop(tables.user_cells)
        # These cells are numbered within their parts, as scoring needs them.
        self._view(db, of_parts(experiment, "user_cells"), parts_by_name["user_cells"])
        self._view(db, of_parts(experiment, "feature_cells"), parts_by_name["feature_cells"])
        parts_by_name["cells"].remove()
        Generation(merged.parent).remove()
        return edges

    def _edges(
        self, db: Warehouse, experiment: BatchExperiment, reads: Sequence[work.Reads]
    ) -> BinEdges:
        sql = value_counts(experiment, features_of(db, experiment))
        tasks = self._tasks(experiment.name)
        counted = tasks.new("value_counts")
        parts = tasks.query(
            "counts",
            [Query(sql, counted.path(i), read) for i, read in enumerate(reads)],
        )
        summed = render("training/merged_counts.sql", parts=MERGED)
        merged = tasks.merge("merged_counts", summed, [part.path for part in parts])
        counts = Identifier.of("value_counts")
        db.rows(
            f"create or replace temporary view {counts} as from read_parquet({literal(str(merged))})"
        )
        edges = find_edges(db, experiment, counts)
        db.rows(f"drop view {counts}")
        for generation in (counted, Generation(merged.parent)):
            generation.remove()
        return edges

    def train(
        self,
        db: Warehouse,
        experiment: BatchExperiment,
        edges: BinEdges,
        parameters: Mapping[str, LearnerParameters],
        log: Log,
    ) -> dict[str, Trained]:
        """See ``Compute.train``."""
        tables, tasks = experiment.tables, self._tasks(experiment.name)
        reads = {t: db.files_of(t) for t in (tables.cells, tables.feature_cells)}
        cells = db.count(tables.cells)
        shares = min(-(-cells // self.cells_per_worker), len(tasks.workers.names))
        jobs = [
            Job(experiment, arm, edges, chosen, reads, tasks.wide) for arm, chosen in parameters.items()
        ]
        log(f"training {', '.join(parameters)} on {cells:,} cells, {max(shares, 1)} workers at a time")
        if shares <= 1:
            results = tasks.run("train", train_on_one, [(job,) for job in jobs])
        else:
            out_of_fold = tasks.new("out_of_fold")
            results = [train_together(tasks.workers, job, shares, out_of_fold) for job in jobs]
            out_of_fold.remove()
        return {
            arm: Trained(fitted.model(), *judged)
            for arm, (fitted, judged) in zip(parameters, results, strict=True)
        }

    def score(self, db: Warehouse, experiment: BatchExperiment, model: Path) -> int:
        """See ``Compute.score``."""
        tables, tasks = experiment.tables, self._tasks(experiment.name)
        cells, n = db.files_of(tables.feature_cells), db.count(tables.feature_cells)
        predicted, scored = tasks.new("predictions"), tasks.new("scores")
        chunks = [CellRange(cells, first, min(first + CHUNK, n)) for first in range(0, n, CHUNK)]
        calls = [
            (tasks.limits, experiment, model, chunk, predicted.path(i)) for i, chunk in enumerate(chunks)
        ]
        tasks.run("predict", work.predict_cells, calls)
        names = {
            tables.user_cells: of_parts(experiment, "user_cells"),
            tables.feature_cells: of_parts(experiment, "feature_cells"),
            tables.assignment: tables.assignment,
        }
        files = zip(*(self._files(db, source) for source in names.values()), strict=True)
        users = [
            (tasks.limits, experiment, model, dict(zip(names, each, strict=True)), scored.path(i))
            for i, each in enumerate(files)
        ]
        tasks.run("scores", work.score_part, users)
        self._view(db, tables.predictions, predicted)
        return self._view(db, tables.scores, scored)

    def roles(self, db: Warehouse, experiment: BatchExperiment, request: ListRequest) -> Roles:
        """See ``Compute.roles``; users in tables, such as a population's, get their roles locally.

        So do whole clusters, whose members may be in several parts, and lists with users who are
        treated as usual, or who explore near the cut.
        """
        listed, rules = experiment.target_users, experiment.declaration.decisions
        alone = rules.usual or rules.explore_near or treats_whole_clusters(experiment)
        if alone or db.kind(listed.scores) != VIEW:
            return assign_roles(db, experiment, request)
        reads_raw = rules.cost_column or rules.value_column or experiment.declaration.cluster
        names = [listed.scores, *([listed.raw] if reads_raw else [])]
        files = zip(*(self._files(db, name) for name in names), strict=True)
        reads = [dict(zip(names, each, strict=True)) for each in files]
        ranging = Ranging(reads, self.range_users)
        return roles_in_parts(self._tasks(experiment.name), db, experiment, request, ranging)

    def export(
        self, db: Warehouse, sheet: Sheet, folder: Path, formats: Sequence[str]
    ) -> list[dict[str, Any]]:
        """See ``Compute.export``; a sheet that is not in parts is written locally."""
        if not sheet.parts:
            return write_whole(db, sheet, folder, formats)
        return write_parts(self._tasks(sheet.experiment), sheet, folder, formats)

    @property
    def link(self) -> str:
        """URL of Dask's dashboard."""
        return connected(self.address, self.home.root).link

    def _tasks(self, experiment: str) -> Tasks:
        return Tasks(self.home, self.address, Limits(self.memory_limit), self.threads, experiment)

    def _view(self, db: Warehouse, view: Identifier, generation: Generation) -> int:
        generation.close()
        return db.create_view(view, generation.pattern)

    def _files(self, db: Warehouse, view: Identifier) -> list[str]:
        """List the files of a view, in order.

        Raises:
            DataError: it is a table of a run on this machine.
        """
        pattern = db.files_of(view)
        if not pattern:
            name = str(view).replace('"', "")
            raise DataError(
                f"{name} was made without a cluster; materialize it and all that depends on it again, "
                "or unset UPLIFT_CLUSTER"
            )
        parts = Path(pattern)
        return [str(path) for path in sorted(parts.parent.glob(parts.name))]
