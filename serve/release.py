"""A release: a snapshot and the models of its scores, verified against the pointer."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np

from serve.best_arm import BEST, ArmPolicies, BestArm
from serve.errors import RequestError, shown
from serve.feature_proof import compile_if_equal
from serve.features import FeatureQuery
from serve.known_users import KnownUsers, maybe_excluded
from serve.seal import Seal
from serve.settings import Settings
from serve.snapshot import Snapshot, open_snapshot
from uplift_core.artifacts import bundle
from uplift_core.artifacts.bundle import Bundle
from uplift_core.artifacts.publication import PublishedExperiment, read_pointer
from uplift_core.artifacts.register import Register
from uplift_core.boosting.tree_arrays import TreeArrays, equal_trees
from uplift_core.command_words import RUN
from uplift_core.errors import BundleError
from uplift_core.evaluation.gate import EvidenceStatus
from uplift_core.experiment.declaration import Experiment
from uplift_core.learners import LearnerName
from uplift_core.learners.contrast import ContrastModel
from uplift_core.targeting.arm_choice import arm_costs, value_per_cost

LOG = logging.getLogger(__name__)
COMPARED_USERS = 100  # on whom each booster's trees are compared with XGBoost


@dataclass(frozen=True)
class Evidence:
    """The result of one learner's gate: whether acting on its scores is shown to pay, and why."""

    word: EvidenceStatus
    reason: str


@dataclass(frozen=True)
class PublishedModel:
    """Everything that is needed to score users of one experiment.

    Attributes:
        published: the experiment's entry in the pointer.
        bundle: the models.
        features: the query that computes features from raw attributes.
        champions: arm -> its best learner.
        evidence: (arm, learner) -> the gate's result.
        known_users: arm -> the look-up of users by id; ``best``: for lists that choose each user's arm.
        trees: the boosters' trees by ``id``, which predict one user without XGBoost's fixed cost.
        reach: arm -> share of its held-out users whom the treatment reached; empty without exposure.
        arm_policies: the policies over several arms; None if there are none.
    """

    published: PublishedExperiment
    bundle: Bundle
    features: FeatureQuery
    champions: Mapping[str, str]
    evidence: Mapping[tuple[str, str], Evidence]
    known_users: Mapping[str, KnownUsers]
    trees: Mapping[int, TreeArrays]
    reach: Mapping[str, float]
    arm_policies: ArmPolicies | None = None

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment's declaration at the time of training, with expected costs."""
        return self.bundle.manifest.experiment.with_expected_costs(self.reach)

    def arm(self, name: str | None, *, or_best: bool = False) -> str:
        """Check the name of a treatment arm; None means the published arm.

        ``or_best``: a refusal offers ``best``, too, if that can be decided.

        Raises:
            RequestError: there is no such treatment arm.
        """
        if name is None:
            return self.published.arm
        what, arms = f"{self.experiment.name}'s treatment arms", tuple(self.bundle.models)
        if name not in arms:
            decidable = or_best and (self.arm_policies is not None or len(arms) == 1)
            raise _not_one_of(what, "arm", name, (*arms, BEST) if decidable else arms)
        return name

    def best_arm(self, learner: str | None, budget: float) -> BestArm:
        """Return how the best arm is decided at a budget; one treatment is the best one.

        Raises:
            RequestError: a learner is named, or the arms were not judged together.
        """
        if len(self.experiment.treatments) == 1:
            return self._only_arm(learner, budget)
        if learner is not None:
            raise RequestError(
                f"learner = {shown(learner)}: with arm = '{BEST}' each arm's deciding learner decides; "
                "leave it out, or name an arm"
            )
        if self.arm_policies is None:
            raise RequestError(
                f"arm = '{BEST}': policies over the arms of {self.experiment.name} were not judged: "
                "users are in clusters, costs fall on exposure, or an earlier version trained the "
                f"models; choose one of {_listed(self.bundle.models)}"
            )
        return self.arm_policies.at(budget)

    def _only_arm(self, learner: str | None, budget: float) -> BestArm:
        (arm,) = self.experiment.treatments
        decides = self.learner(learner, arm)
        evidence = self.evidence[arm, decides]
        return BestArm(
            arms=(arm,),
            learners=(decides,),
            costs=arm_costs(self.experiment),
            value=value_per_cost(self.experiment),
            budget=budget,
            judged_at=budget,
            decider=arm,
            word=evidence.word,
            reason=evidence.reason,
            alone=arm,
            price_if_chosen=math.inf,
        )

    def learner(self, name: str | None, arm: str) -> LearnerName:
        """Check the name of a learner; None means the learner that decides about ``arm`` every night.

        Raises:
            RequestError: there is no such learner.
        """
        requested = self._deciding(arm) if name is None else name
        known = tuple(self.bundle.models[arm].learners)
        for learner in known:
            if learner == requested:
                return learner
        raise _not_one_of("the learners", "learner", requested, known)

    def _deciding(self, arm: str) -> str:
        if arm == self.published.arm:
            return self.published.learner
        return self.experiment.defaults.learner or self.champions[arm]

    def outcome(self, name: str | None) -> str:
        """Check the name of an outcome; None means the outcome that the learners were fitted on.

        Raises:
            RequestError: there is no such outcome.
        """
        if name is None:
            return self.bundle.manifest.outcome
        declared = {outcome.name: outcome for outcome in self.experiment.outcomes}
        return _one_of(f"{self.experiment.name}'s outcomes", "outcome", name, declared)


@dataclass(frozen=True)
class Release:
    """The data that the service answers from until a newer snapshot is published. Immutable."""

    snapshot: Snapshot
    models: Mapping[str, PublishedModel]
    published_at: datetime
    seal: Seal  # checks that the snapshot's file is unaltered

    def model(self, experiment: str | None) -> PublishedModel:
        """Return the models of an experiment; the name may be None if only one is published.

        Raises:
            RequestError: there is no such experiment, or several are published and none is named.
        """
        if experiment is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        if experiment is None:
            raise RequestError(
                f"experiment: missing; several are published, choose one of {_listed(self.models)}"
            )
        name = _one_of("the published experiments", "experiment", experiment, self.models)
        return self.models[name]


def load_release(settings: Settings) -> Release:
    """Load the release that ``published/CURRENT.json`` points at.

    Raises:
        UpliftError: nothing is published, or a file differs from its sha256 in the pointer.
        OSError, ValueError, KeyError, duckdb.Error: a file cannot be read.
    """
    pointer = read_pointer(settings.published)
    path = settings.published / pointer.file
    seal = Seal(path, pointer.sha256)  # before the file is hashed, to notice a change meanwhile
    snapshot = open_snapshot(path, pointer.snapshot_id, pointer.sha256)
    models = {
        name: _load_model(settings, snapshot, name, entry) for name, entry in pointer.experiments.items()
    }
    for model in models.values():
        _smoke(snapshot, model)
        arm = model.published.arm
        snapshot.holdout(model.experiment.name, arm, model.learner(None, arm))  # fill the cache
    return Release(snapshot, models, pointer.published_at, seal)


def _smoke(snapshot: Snapshot, model: PublishedModel) -> None:
    """Score some users as a request would, and require the batch's scores to the bit."""
    name = model.experiment.name
    x, written = snapshot.smoke(name, model.features.names)
    for arm, contrast in model.bundle.models.items():
        rows = [row for row in written if row["arm"] == arm]
        for learner in contrast.learners:
            expected = np.asarray([row[f"cate_{learner}"] for row in rows], np.float32)
            std_error = contrast.predict_std_error(x, learner)
            written_error = [row.get("cate_std_error", np.nan) for row in rows]
            if not np.array_equal(contrast.predict(x, learner), expected) or (
                std_error is not None
                and not np.array_equal(std_error, np.asarray(written_error, np.float32))
            ):
                raise BundleError(
                    f"{name}: the models' {learner} scores for '{arm}' are not those of the snapshot"
                )


def _load_model(
    settings: Settings, snapshot: Snapshot, name: str, entry: PublishedExperiment
) -> PublishedModel:
    folder = settings.bundles / entry.model_version
    loaded = bundle.load(folder)
    if bundle.manifest_sha256(folder) != entry.bundle_sha256:
        raise BundleError(f"{folder}: not the bundle that was published; restore it or run `{RUN}`")
    if loaded.manifest.experiment.name != name:
        raise BundleError(f"{folder}: a bundle of another experiment than {name}; run `{RUN}`")
    if entry.arm not in loaded.models or entry.learner not in loaded.models[entry.arm].learners:
        raise BundleError(f"{folder}: has no learner '{entry.learner}' for an arm '{entry.arm}'")
    nothing_known = np.full((1, len(loaded.manifest.features)), np.nan, dtype=np.float32)
    for model in loaded.models.values():
        _make_ready(model)
        for learner in model.learners:  # raises if the features are not those of the models
            model.predict(nothing_known, learner)
    registry = snapshot.rows(
        "select arm, learner, champion, gate, gate_reason from models.registry "
        "where model_version = $version",
        {"version": loaded.version},
    )
    query = FeatureQuery(loaded.manifest)
    compile_if_equal(query, snapshot, loaded.manifest)
    excluded, experiment = maybe_excluded(snapshot, name), loaded.manifest.experiment
    register = Register(settings.register)
    champions = {row["arm"]: row["learner"] for row in registry if row["champion"]}
    declared = experiment.defaults.learner
    deciding = {arm: declared or champions[arm] for arm in loaded.models}
    arm_policies = ArmPolicies.read(snapshot, loaded, deciding)
    listed_as = [*loaded.models, BEST] if arm_policies else [*loaded.models]
    return PublishedModel(
        entry,
        loaded,
        query,
        champions=champions,
        evidence={
            (row["arm"], row["learner"]): Evidence(row["gate"], row["gate_reason"]) for row in registry
        },
        known_users={
            arm: KnownUsers(snapshot, experiment, arm, excluded, register) for arm in listed_as
        },
        trees=_equal_trees(snapshot, loaded),
        reach=_reach(snapshot, name),
        arm_policies=arm_policies,
    )


def _reach(snapshot: Snapshot, name: str) -> dict[str, float]:
    rows = snapshot.rows_if_published(
        "evaluation.complier_effects",
        "select distinct arm, reached_treated from evaluation.complier_effects "
        "where experiment = $experiment and split = 'holdout' and estimator = 'means'",
        {"experiment": name},
    )
    return {row["arm"]: row["reached_treated"] for row in rows}


def _equal_trees(snapshot: Snapshot, loaded: Bundle) -> dict[int, TreeArrays]:
    """Return the trees of all boosters that they predict equally, on users of the snapshot."""
    name, features = loaded.manifest.experiment.name, loaded.manifest.features
    users = snapshot.rows(f'select user_id from features."{name}" limit {COMPARED_USERS}')
    x = snapshot.features(name, features, [row["user_id"] for row in users])
    trees: dict[int, TreeArrays] = {}
    for arm, model in loaded.models.items():
        equal = equal_trees(model.boosters.values(), x)
        if len(equal) < len(model.boosters):
            LOG.warning("%s: XGBoost predicts single users for '%s': trees differ", name, arm)
        trees |= equal
    return trees


def _make_ready(model: ContrastModel) -> None:
    """Let a prediction use one thread. It is set once, here, because setting it is not thread-safe."""
    for booster in model.boosters.values():
        booster.set_param({"nthread": 1})


def _one_of(what: str, field: str, value: str, choices: Mapping[str, object]) -> str:
    if value not in choices:
        raise _not_one_of(what, field, value, choices)
    return value


def _not_one_of(
    what: str, field: str, value: str, choices: Mapping[str, object] | tuple[str, ...]
) -> RequestError:
    return RequestError(
        f"{field} = {shown(value)}: is not among {what}; choose one of {_listed(choices)}"
    )


def _listed(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names)
