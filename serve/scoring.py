"""Turn users and a budget into decisions: one code path for one user and for many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from serve.attributes import Columns
from serve.best_arm import BEST, BestArm, Choice, explorers_arm, only_choice
from serve.errors import RequestError, ServiceError, shown
from serve.known_users import BY_SCORE, Known
from serve.own_ids import numbers_of
from serve.release import Evidence, PublishedModel, Release
from serve.schemas.requests import Target
from uplift_core.arrays import Floats
from uplift_core.experiment.declaration import Experiment
from uplift_core.learners import LearnerName
from uplift_core.learners.contrast import Scores
from uplift_core.targeting.arm_path import NO_ARM
from uplift_core.targeting.budget import Distribution, smallest_score_worth


@dataclass(frozen=True)
class Job:
    """Users to score for one target, which was checked against one release."""

    release: Release
    model: PublishedModel
    arm: str
    learner: LearnerName
    budget: float
    threshold: float
    rows: Columns | None
    users: tuple[int, ...]
    clusters: Sequence[str | None] | None = None  # of each user by attributes
    best: BestArm | None = None  # if the best arm was requested

    @property
    def chooses(self) -> bool:
        """Whether each user's arm is chosen; else ``arm`` is that of all users."""
        return self.best is not None and self.best.price is not None

    @property
    def drawn_as(self) -> str:
        """The key in ``known_users`` of the lists that draw the users: of chosen arms, or of the arm."""
        by_choice = self.model.known_users.get(BEST) if self.chooses else None
        return BEST if by_choice is not None and by_choice.newest is not None else self.arm

    @property
    def listed_as(self) -> str:
        """The key of the list that ``listed`` is about: for the best arm that of any arm is one."""
        known = self.model.known_users
        if self.best is None or known[self.drawn_as].newest is not None:
            return self.drawn_as
        dates = {arm: users.newest.decision_date for arm, users in known.items() if users.newest}
        return max(dates, key=lambda arm: dates[arm], default=self.drawn_as)

    @property
    def size(self) -> int:
        """Number of users."""
        return len(self.users if self.rows is None else next(iter(self.rows.values())))

    @property
    def holdout(self) -> Distribution:
        """The distribution of scores of held-out users."""
        return self.release.snapshot.holdout(self.model.experiment.name, self.arm, self.learner)

    @property
    def expected_rate(self) -> float:
        """Share of held-out users who are treated: at or above the threshold, or at the price."""
        if self.best is not None and self.best.price is not None and self.model.arm_policies:
            return float(self.model.arm_policies.prices.shares(self.best.price).sum())
        return self.holdout.share_from(self.threshold)

    def of_clusters(self, clusters: Sequence[str | None] | None) -> Job:
        """Return the job of users by attributes who belong to clusters; None: nothing is known.

        Raises:
            RequestError: users are not drawn by cluster.
        """
        named = [cluster for cluster in clusters or () if cluster is not None]
        if named and not self.model.known_users[self.drawn_as].cluster:
            raise RequestError(
                f"cluster = {shown(named[0])}: users of {self.model.experiment.name} are drawn one by "
                "one; leave it out"
            )
        return replace(self, clusters=clusters if named else None)

    def labels(self) -> dict[str, object]:
        """Return the fields about the target that every answer has."""
        evidence: Evidence | BestArm = self.model.evidence[self.arm, self.learner]
        if self.best is not None and self.chooses:
            evidence = self.best
        return {
            "threshold": None
            if self.chooses or math.isinf(self.threshold)  # JSON has no infinity
            else self.threshold,
            "budget": self.best.budget if self.best else self.budget,
            "arm": BEST if self.chooses else self.arm,
            "learner": self.learner,
            "outcome": self.model.bundle.manifest.outcome,
            "experiment": self.model.experiment.name,
            "evidence": evidence.word,
            "evidence_reason": evidence.reason,
            "model_version": self.model.bundle.version,
            "snapshot_id": self.release.snapshot.snapshot_id,
        }


@dataclass(frozen=True)
class Scored:
    """Scores of a job's users and the decisions, each array of shape (n,).

    Attributes:
        score: predicted effect, float32.
        response: predicted outcome under control, float32.
        std_error: standard error of the effect over bags of users, float32; None without bags, and where
            the best arm is chosen, whose effects are calibrated.
        score_treats: whether the score alone would treat the user.
        treat: whether to treat the user.
        known: facts about users by id, or by the cluster; None for other users by attributes.
        choice: the users' arms, if the best arm was requested.
    """

    score: Floats
    response: Floats
    std_error: Floats | None
    score_treats: npt.NDArray[np.bool_]
    treat: npt.NDArray[np.bool_]
    known: Known | None = None
    choice: Choice | None = None

    @property
    def by_score(self) -> tuple[int, int]:
        """Number of users whom the score decides about, and number of explorers who are treated."""
        if self.known is None:
            return len(self.score), 0
        explorers = self.known.role == "explore"
        return int(self.known.by_score.sum()), int(self.treat[explorers].sum())

    @property
    def reasons(self) -> npt.NDArray[np.object_]:
        """The reason of each user's decision, see ``Decision.reason``."""
        if self.known is not None:
            return self.known.reasons(self.score_treats)
        return np.where(self.score_treats, *BY_SCORE)


def resolve(
    release: Release,
    target: Target,
    *,
    rows: Sequence[dict[str, Any]] | pa.Table | None = None,
    users: Sequence[int | str] = (),
    prefix: str = "attributes",
) -> Job:
    """Check a request against the release and return the job.

    Raises:
        RequestError: the request names something that the release lacks, or an attribute is invalid.
        UnknownUserError: no published user has an id that was sent as text.
    """
    model = release.model(target.experiment)
    experiment, best = model.experiment, None
    budget = experiment.defaults.budget if target.budget is None else target.budget
    if target.arm == BEST:
        best = model.best_arm(target.learner, budget)
        arm, budget = best.alone, budget if best.price is not None else best.share
    else:
        arm = model.arm(target.arm, or_best=True)
    learner = model.learner(target.learner, arm)
    threshold = release.snapshot.threshold(experiment.name, arm, learner, budget)
    if not experiment.decisions.fill:
        threshold = max(threshold, _smallest_score_worth(experiment, arm))
    schema = model.features.schema
    columns: Columns | None = None
    if isinstance(rows, pa.Table):
        columns = schema.arrow(rows)
    elif rows is not None:
        columns = schema.rows(rows, prefix)
    numbers = numbers_of(release.snapshot, experiment, users)
    return Job(release, model, arm, learner, budget, threshold, columns, numbers, best=best)


def _smallest_score_worth(experiment: Experiment, arm: str) -> float:
    """Return the score from which on treating a user is worth its cost, as far as it is declared.

    The service does not know a user's own cost or value; no user is worth treating without an effect.
    """
    rules = experiment.decisions
    if rules.cost_column or rules.value_column:
        return smallest_score_worth(None, None)
    value = experiment.outcome(experiment.defaults.outcome).value
    return smallest_score_worth(value, experiment.arm(arm).cost)


def score(jobs: Sequence[Job]) -> list[Scored | ServiceError]:
    """Score jobs together: jobs that are alike share one run of the feature SQL and one prediction."""
    results: list[Scored | ServiceError] = [RequestError("not scored")] * len(jobs)
    groups: dict[tuple[int, bool], list[int]] = {}
    for i, job in enumerate(jobs):
        groups.setdefault((id(job.model), job.rows is None), []).append(i)
    for places in groups.values():
        together = [jobs[i] for i in places]
        try:
            group: Sequence[Scored | ServiceError] = _score_alike(together)
        except ServiceError as error:
            # One job's values make the query fail for all: score each job alone.
            alone = len(places) == 1
            group = [error] if alone else [score([job])[0] for job in together]
        for i, result in zip(places, group, strict=True):
            results[i] = result
    return results


def _score_alike(jobs: Sequence[Job]) -> list[Scored]:
    x = features_of(jobs)
    ends = np.cumsum([job.size for job in jobs])
    slices = [slice(end - job.size, end) for job, end in zip(jobs, ends, strict=True)]
    scores = np.empty(len(x), np.float32)
    responses = np.empty(len(x), np.float32)
    std_errors = np.empty(len(x), np.float32)  # NaN without bags
    targets = _by_target(jobs)
    for (arm, learner), places in targets.items():
        rows = slice(None) if len(targets) == 1 else np.r_[tuple(slices[i] for i in places)]
        model = jobs[0].model.bundle.models[arm]
        predicted = model.predict_with_response(x[rows], learner, jobs[0].model.trees)
        scores[rows], responses[rows] = predicted.cate, predicted.response
        std_errors[rows] = np.nan if predicted.std_error is None else predicted.std_error
    known = _known(jobs) if jobs[0].rows is None else [_new_members(job) for job in jobs]
    return [
        _decided(
            job,
            Scores(scores[rows], responses[rows], std_errors[rows]),
            job_known,
            _choose(job, x[rows]),
        )
        for job, rows, job_known in zip(jobs, slices, known, strict=True)
    ]


def _choose(job: Job, x: Floats) -> Choice | None:
    """Score a job's users for every arm, and choose; None if the best arm was not requested."""
    best, policies = job.best, job.model.arm_policies
    if best is None:
        return None
    models = job.model.bundle.models
    columns = [
        models[arm].predict_with_response(x, learner, job.model.trees).cate
        for arm, learner in zip(best.arms, best.learners, strict=True)
    ]
    score = np.column_stack(columns)
    return only_choice(score, best) if policies is None else policies.choose(score, best)


def _decided(job: Job, scores: Scores, known: Known | None, choice: Choice | None) -> Scored:
    score, response, std_error = scores
    score_treats = score >= np.float32(job.threshold)
    if choice is not None and job.chooses:
        score_treats = choice.arm != NO_ARM
    if known is not None:
        known = known.follow(job.learner, job.budget)
    treat = score_treats if known is None else known.decide(score_treats, job.budget)
    if choice is not None:
        choice = _given(job, choice, treat, known)
        score = choice.shown_effect if job.chooses else score
    # A chosen arm's effect is calibrated, and bags say nothing about that.
    if std_error is not None and (job.chooses or np.isnan(std_error).any()):
        std_error = None
    return Scored(score, response, std_error, score_treats, treat, known, choice)


def _given(job: Job, choice: Choice, treat: npt.NDArray[np.bool_], known: Known | None) -> Choice:
    """Return the choice with the arms that users get: by the price, alone, or by chance."""
    arms = choice.arm
    if job.best is not None and not job.chooses:
        arms = np.full(len(treat), job.best.arms.index(job.arm), np.int64)
    elif known is not None:
        by_chance = explorers_arm(known.draw, choice.effect.shape[1])
        arms = np.where(known.role == "explore", by_chance, arms)
    return replace(choice, given=np.where(treat, arms, NO_ARM))


def _new_members(job: Job) -> Known | None:
    """Look up the roles of users by attributes whose clusters are named; None if none is."""
    if job.clusters is None:
        return None
    return job.model.known_users[job.drawn_as].new_members(job.clusters)


def _known(jobs: Sequence[Job]) -> list[Known]:
    """Look up each job's users by id: one look-up for all jobs that are about the same lists."""
    known_by_job: dict[int, Known] = {}
    lists = [(job.drawn_as, job.listed_as) for job in jobs]
    for drawn_as, listed_as in set(lists):
        places = [i for i, of_job in enumerate(lists) if of_job == (drawn_as, listed_as)]
        users = [user for i in places for user in jobs[i].users]
        by_arm = jobs[0].model.known_users
        known = by_arm[drawn_as].look_up(users)
        if listed_as != drawn_as:
            known = known.on_other_list(by_arm[listed_as].look_up(users))
        start = 0
        for i in places:
            end = start + jobs[i].size
            known_by_job[i] = known.of(slice(start, end))
            start = end
    return [known_by_job[i] for i in range(len(jobs))]


def features_of(jobs: Sequence[Job]) -> Floats:
    """Return the features of all users of jobs: of one model, all by attributes or all by id."""
    model = jobs[0].model
    if jobs[0].rows is None:
        users = [user for job in jobs for user in job.users]
        return jobs[0].release.snapshot.features(model.experiment.name, model.features.names, users)
    parts = [job.rows for job in jobs if job.rows is not None]
    return model.features.of_users(parts)


def _by_target(jobs: Sequence[Job]) -> dict[tuple[str, LearnerName], list[int]]:
    """Group the positions of jobs by arm and learner."""
    groups: dict[tuple[str, LearnerName], list[int]] = {}
    for i, job in enumerate(jobs):
        groups.setdefault((job.arm, job.learner), []).append(i)
    return groups
