"""A fitted model: effects, decisions, explanations, its evaluation, and its bundle on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from uplift_core.arrays import Doubles, Floats
from uplift_core.artifacts import bundle
from uplift_core.artifacts.bundle import Manifest, RawColumn
from uplift_core.artifacts.files import replace_file
from uplift_core.cells import BinEdges
from uplift_core.errors import BundleError, DataError
from uplift_core.evaluation.procedure import groups_by
from uplift_core.evaluation.tables import TABLES, Rows, evaluate_joint
from uplift_core.experiment.decision_rules import Unit
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.splits import list_hashes
from uplift_core.learner_names import LearnerName
from uplift_core.learners.contrast import ContrastModel
from uplift_core.library.deciding import Candidates, Decisions, choose
from uplift_core.library.design import arm_named
from uplift_core.library.encoding import Encoding
from uplift_core.library.evaluation import Evidence, ModelEvaluation
from uplift_core.library.frames import Frame, read_frame, units
from uplift_core.library.prices import Prices
from uplift_core.library.users import Users, columns_of, ids_of, other_outcomes
from uplift_core.targeting.budget import Budget

EVIDENCE = "evidence.json"


@dataclass(frozen=True)
class Explanation:
    """What each feature adds to the effect of each user, by exact Shapley values.

    Attributes:
        features: (n_features,) names.
        values: (n, n_features) float64; with ``bias`` they add up to ``effect``.
        bias: (n,) the mean effect that features add to.
        effect: (n,) float32.
    """

    features: tuple[str, ...]
    values: Doubles
    bias: Doubles
    effect: Floats


@dataclass(frozen=True, repr=False)
class Model:
    """All learners of every arm of one experiment.

    Attributes:
        experiment: its declaration; ``experiment.treatments`` are the names of the arms.
        encoding: how columns become features.
        edges: lower edges of the features' bins.
        contrasts: arm -> its learners.
        evidence: arm -> the gate's word; empty if it is not known.
        data_sha256: hash of the users of ``fit``.
        users: the users of ``fit``; None for a loaded model.
    """

    experiment: Experiment
    encoding: Encoding
    edges: BinEdges
    contrasts: Mapping[str, ContrastModel]
    evidence: Mapping[str, Evidence]
    data_sha256: str
    users: Users | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        experiment, words = self.experiment, self.evidence
        told = [f"{arm} ({words[arm].word})" if arm in words else arm for arm in self.contrasts]
        return (
            f"<Model: effect of {', '.join(told)} against {experiment.control} on "
            f"'{experiment.defaults.outcome}', by {len(self.edges.features)} features>"
        )

    def effect(self, frame: Frame, arm: str | None = None, learner: LearnerName | None = None) -> Floats:
        """Predict how much an arm changes the outcome of each user, against the control: (n,) float32.

        Args:
            frame: a table with the columns of the features.
            arm: name of the arm, or its value in the table; by default the first.
            learner: by default the one that decides.

        Raises:
            DataError: a column is missing or holds what training did not see.
        """
        arm, learner = self._chosen(arm, learner)
        return self.contrasts[arm].predict(self._features(frame), learner)

    def effect_std_error(self, frame: Frame, arm: str | None = None) -> Floats:
        """Predict the standard error of each user's effect by the learner that decides: (n,) float32.

        It says how far the effect would move if other users had been in the experiment. It does not say
        how far the effect is from the truth: what the learner smooths away is not in it.

        Args:
            frame: a table with the columns of the features.
            arm: name of the arm, or its value in the table; by default the first.

        Raises:
            DataError: the model was fitted without bags, or a column is missing or holds what training
                did not see.
        """
        arm, learner = self._chosen(arm, None)
        std_error = self.contrasts[arm].predict_std_error(self._features(frame), learner)
        if std_error is None:
            raise DataError("bags: the model was fitted without them; fit it with bags=10, for example")
        return std_error

    def decide(  # noqa: PLR0913 - the budget, and the rules of a list
        self,
        frame: Frame,
        budget: float | None = None,
        *,
        users: int | None = None,
        money: float | None = None,
        cost: float | str | None = None,
        value: float | str | None = None,
        fill: bool | None = None,
        unit: Unit | None = None,
        arm: str | None = None,
        learner: LearnerName | None = None,
    ) -> Decisions:
        """Choose whom to treat: a list of exact size, as a run makes it, without draws.

        Users with the largest scores come first. Where costs or values are columns, those come first
        from whom treatment brings most, ``value * score - cost``; with ``money``, most for their cost,
        ``value * score / cost``. A budget in money treats nobody who is not worth the cost.

        The table has the features' columns, and the columns of ids and clusters if they were given to
        ``fit``; a row's number is its id otherwise.

        Args:
            frame: the users.
            budget: share of users, from 0 to 1; by default the model's.
            users: number of users, instead of a share.
            money: the most that the list may cost, instead of a share.
            cost: cost of treating a user, a number or a column; by default that of ``fit``.
            value: value of one unit of the outcome, a number or a column; by default that of ``fit``.
            fill: whether a share or a number is filled with users who are predicted to be not worth
                their cost, or not helped. By default it is, except in a run that declares otherwise.
            unit: ``cluster`` treats a cluster as a whole or not at all, by its mean, and is the default
                where there are clusters; the list ends before the first cluster that does not fit.
                ``user`` chooses single users.
            arm: name of the arm, or its value in the table; by default the first.
            learner: by default the one that decides.

        Raises:
            DataError: a column is missing, the budget is out of range, or a price is not known.
        """
        arm, learner = self._chosen(arm, learner)
        nothing_said = budget is None and users is None and money is None
        limit = Budget(self.experiment.defaults.budget if nothing_said else budget, users, money)
        whole = (unit or self.experiment.decision_unit) == "cluster"
        prices = Prices.of(self.experiment, arm, cost, value)
        table = read_frame(frame, [*self.encoding.names, *self._units(whole=whole), *prices.columns])
        score = self.contrasts[arm].predict(self.encoding.encode(table), learner)
        costs, values = prices.read(table, money=limit.kind == "money")
        ids, salt = ids_of(table, self.experiment), self.experiment.split.salt
        candidates = Candidates(
            score,
            costs,
            values,
            user_id=np.asarray(ids),
            hash=list_hashes(salt, units(table, self.experiment.cluster) if whole else ids),
            by_cluster=whole,
            own_prices=bool(prices.columns),
        )
        order, size = choose(
            candidates, limit, fill=self.experiment.decisions.fill if fill is None else fill
        )
        rank = np.empty(len(score), dtype=np.int64)
        rank[order.users] = np.arange(1, len(score) + 1)
        treat = rank <= size
        threshold = float(score[treat].min()) if size else float("inf")
        spent, evidence = round(float(costs[treat].sum()), 6), self.evidence.get(arm)
        return Decisions(treat, score, rank, threshold, spent, arm, learner, evidence)

    def _units(self, *, whole: bool) -> list[str]:
        """Return the columns of ids and, if clusters are treated as a whole, of clusters."""
        if whole and not self.experiment.cluster:
            raise DataError("unit: 'cluster' needs clusters; give cluster= to fit")
        ids = "" if self.experiment.has_row_numbers else self.experiment.user_id
        return [name for name in (ids, self.experiment.cluster if whole else "") if name]

    def evaluate(self, frame: Frame | None = None, *, unseen: bool = False) -> ModelEvaluation:
        """Evaluate all learners on users that trained none of them.

        Args:
            frame: users with arm and outcome; other outcomes are evaluated if the table has them. By
                default the users of ``fit``. Of these, and of the same table after ``load``, the split's
                held-out users are evaluated.
            unseen: whether no user of the frame trained the model, so that all of them are evaluated.
                If users have ids, it can be left false: then only users whom the split holds out count.

        Raises:
            DataError: users may have trained the model, or a column is wrong.
        """
        users = self.users if frame is None else self._users(frame)
        if users is None:
            raise DataError("frame: a loaded model has no users; give the table that it was fitted on")
        if not unseen:
            if self.experiment.has_row_numbers and users.sha256 != self.data_sha256:
                raise DataError(
                    "frame: this is not the table of fit, and its users have no ids, so they may have "
                    "trained the model; pass unseen=True if none of them did"
                )
            users = users.at(users.holdout)
        tables: dict[str, Rows] = {name: [] for name in TABLES}
        learned = self.experiment.defaults.outcome
        known = set.intersection(*(set(model.others) for model in self.contrasts.values()))
        for arm, outcome in product(self.contrasts, [learned, *(o for o in users.others if o in known)]):
            model, other = self.contrasts[arm], None if outcome == learned else outcome
            binned = users.contrast(self.experiment, arm, self.edges, other)
            joint = groups_by(model, binned, outcome=other).merged()
            label = {"arm": arm, "outcome": outcome}
            for name, rows in evaluate_joint(joint, self.experiment, arm, outcome).items():
                tables[name] += [label | row for row in rows]
        return ModelEvaluation(self.experiment, self.evidence, tables)

    def explain(
        self, frame: Frame, arm: str | None = None, learner: LearnerName | None = None
    ) -> Explanation:
        """Explain each user's effect; the arguments are those of ``effect``."""
        arm, learner = self._chosen(arm, learner)
        x, model = self._features(frame), self.contrasts[arm]
        parts = model.contributions(x, learner)
        return Explanation(self.edges.features, parts[:, :-1], parts[:, -1], model.predict(x, learner))

    def save(self, path: str | Path) -> Path:
        """Write the model below the folder ``path``; return the bundle's folder.

        The bundle has the format that runs write and the service reads; ``evidence.json`` beside it has
        the gate's words.
        """
        experiment, sql = self.experiment, self.encoding.sql(self.experiment.name)
        manifest = Manifest(
            experiment=experiment,
            outcome=experiment.defaults.outcome,
            features=self.edges.features,
            features_sql=sql,
            raw_columns=self.encoding.columns,
            edges=self.edges.to_dict(),
            data_sha256=self.data_sha256,
            sql_sha256=hashlib.sha256(sql.encode()).hexdigest(),
            libraries=bundle.library_versions(),
        )
        version, folder = bundle.save(Path(path), manifest, dict(self.contrasts))
        arms = {arm: asdict(of_arm) for arm, of_arm in self.evidence.items()}
        words = {"version": version, "arms": arms}
        replace_file(Path(path) / EVIDENCE, json.dumps(words, indent=2).encode())
        return folder

    def _chosen(self, arm: str | None, learner: LearnerName | None) -> tuple[str, LearnerName]:
        arm = arm_named(self.experiment, arm)
        names = self.contrasts[arm].learners
        decides = self.evidence[arm].champion if arm in self.evidence else "stack"
        chosen = next((name for name in names if name == (learner or decides)), None)
        if chosen is None:
            raise DataError(f"learner: '{learner or decides}' must be one of {list(names)}")
        return arm, chosen

    def _features(self, frame: Frame) -> Floats:
        return self.encoding.encode(read_frame(frame, self.encoding.names))

    def _users(self, frame: Frame) -> Users:
        needed = columns_of(self.experiment, self.encoding)
        table = read_frame(frame, needed, other_outcomes(self.experiment))
        return Users.of(table, self.experiment, self.encoding)


def load(path: str | Path) -> Model:
    """Read a model that ``Model.save`` or a run wrote; nothing in it is executable.

    A model of a run whose features are SQL takes a table with the features themselves.

    Args:
        path: the bundle's folder, or the folder that ``Model.save`` was given.

    Raises:
        BundleError: a file is missing or altered, or there is no bundle.
    """
    folder = _bundle_in(Path(path))
    loaded = bundle.load(folder)
    manifest, words = loaded.manifest, _evidence(folder)
    encoding = Encoding(manifest.raw_columns)
    if encoding.sql(manifest.experiment.name) != manifest.features_sql:
        encoding = Encoding(tuple(RawColumn(name=name, type="FLOAT") for name in manifest.features))
    return Model(manifest.experiment, encoding, loaded.edges, loaded.models, words, manifest.data_sha256)


def _bundle_in(path: Path) -> Path:
    if (path / bundle.MANIFEST).is_file():
        return path
    words = path / EVIDENCE
    if not words.is_file():
        raise BundleError(f"{path}: holds no model; give the folder that save() was given")
    return path / str(json.loads(words.read_text(encoding="utf-8"))["version"])


def _evidence(folder: Path) -> dict[str, Evidence]:
    """Read the gate's words beside a bundle; none if there are none on this one."""
    path = folder.parent / EVIDENCE
    words = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if words.get("version") != folder.name:
        return {}
    return {arm: Evidence(**word) for arm, word in words["arms"].items()}
