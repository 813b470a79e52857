"""Train on workers: on one if the cells fit into it, otherwise on several by XGBoost's collective.

There are far fewer cells than users, so one worker nearly always holds them; then the models equal those
of one machine, byte for byte. Otherwise several workers each hold a share of the feature cells and grow
every tree together, from the sums of their histograms. The order of these floating-point sums differs,
so predictions agree up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pyarrow as pa
import xgboost
from xgboost import collective
from xgboost.tracker import RabitTracker

from dagster_project.compute.cluster.dask_client import Workers
from dagster_project.compute.cluster.tasks import Limits, Reads, opened
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.fitting import OUT_OF_FOLD, Recipe, fit_arm, judge_arm, train_arm
from dagster_project.warehouse.partitions import Generation, write_part
from dagster_project.warehouse.sql import Identifier
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges
from uplift_core.errors import UpliftError
from uplift_core.evaluation.gate import Verdict
from uplift_core.learners.contrast import ContrastModel

ATTEMPTS = 3  # attempts of training together: it starts again when a worker dies
Judged = tuple[Verdict, pa.Table | None]  # see ``fitting.Trained``
PATIENCE = 300  # seconds that a worker waits for another at a step of the training


@dataclass(frozen=True)
class Fitted:
    """A contrast's model in the form that workers send: boosters by role, as UBJSON."""

    boosters: Mapping[str, bytes]
    propensity: float

    @classmethod
    def of(cls, model: ContrastModel) -> Fitted:
        """Pack a model."""
        packed = {role: bytes(b.save_raw("ubj")) for role, b in model.boosters.items()}
        return cls(packed, model.propensity)

    def model(self) -> ContrastModel:
        """Unpack the model; the inverse of ``of``."""
        boosters = {role: xgboost.Booster(model_file=bytearray(b)) for role, b in self.boosters.items()}
        return ContrastModel.from_boosters(boosters, self.propensity)


@dataclass(frozen=True)
class Job:
    """The inputs of one arm's training."""

    folder: BatchExperiment
    arm: str
    edges: BinEdges
    parameters: LearnerParameters
    reads: Reads  # cells and feature cells
    limits: Limits

    @property
    def recipe(self) -> Recipe:
        """How the arm is trained."""
        return Recipe(
            self.edges,
            self.parameters,
            self.limits.threads,
            with_rules=False,
            decides=self.folder.declaration.defaults.learner or "stack",
        )


def train_on_one(job: Job) -> tuple[Fitted, Judged]:
    """Fit and judge one arm's learners; runs on a worker."""
    with opened(job.limits, job.reads) as db:
        trained = train_arm(db, job.folder, job.arm, job.recipe)
    return Fitted.of(trained.model), (trained.verdict, trained.deciding)


def train_together(
    workers: Workers, job: Job, shares: int, out_of_fold: Generation
) -> tuple[Fitted, Judged]:
    """Fit one arm's learners on ``shares`` workers at once, each with a share of the feature cells.

    Out-of-fold predictions are written to ``out_of_fold``.

    Raises:
        UpliftError: workers were lost three times in a row.
    """
    reason: Exception | None = None
    for _ in range(ATTEMPTS):
        host = workers.host
        tracker = RabitTracker(n_workers=shares, host_ip=host, sortby="task", timeout=PATIENCE)
        tracker.start()
        # The thread ends with the workers, or with this process if they were lost.
        Thread(target=_wait_for, args=(tracker,), daemon=True).start()
        meeting = dict(tracker.worker_args())
        calls = [(job, (share, shares), meeting, out_of_fold.path(share)) for share in range(shares)]
        try:
            fitted = workers.together(f"{job.folder.name}-train-{job.arm}", fit_share, calls)
        except xgboost.core.XGBoostError as error:
            reason = error
        else:
            return fitted[0], workers.run(
                f"{job.folder.name}-judge-{job.arm}", judge, [(job, out_of_fold.pattern)]
            )[0]
    raise UpliftError(
        f"{job.folder.name}: {shares} workers could not train {job.arm} together, {ATTEMPTS} times; "
        f"the last time: {reason}"
    )


def _wait_for(tracker: RabitTracker) -> None:
    with suppress(xgboost.core.XGBoostError):  # the workers report it, too
        tracker.wait_for()


def fit_share(
    job: Job, share: tuple[int, int], meeting: Mapping[str, str | int], target: Path
) -> Fitted:
    """Fit on every ``share[1]``-th feature cell from number ``share[0]`` on, together with the others.

    All workers get equal models. Out-of-fold predictions of the share's cells go to ``target``.
    """
    number, of = share
    names = {**meeting, "dmlc_task_id": f"{number:05}", "dmlc_timeout": PATIENCE}
    with collective.CommunicatorContext(**names), opened(job.limits, {}) as db:
        for name, files in job.reads.items():
            whole = Identifier.of(f"whole_{name}")
            db.create_view(whole, files)
            chosen = f"select * replace (cell // {of} as cell) from {whole} where cell % {of} = {number}"
            db.rows(f"create view {name} as {chosen}")
        model, predictions = fit_arm(db, job.folder, job.arm, job.recipe)
        with db.relation("predicted", predictions):
            sql = f"select * replace (cell * {of} + {number} as cell) from predicted"
            write_part(db, sql, {}, target)
    return Fitted.of(model)


def judge(job: Job, predictions: str) -> Judged:
    """Judge one arm's learners by the out-of-fold predictions in files."""
    out_of_fold = Identifier.of(OUT_OF_FOLD)
    with opened(job.limits, {**job.reads, out_of_fold: predictions}) as db:
        return judge_arm(db, job.folder, job.arm, out_of_fold)
