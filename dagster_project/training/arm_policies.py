"""Judge the policies of an experiment with several treatment arms, and record what was learned."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.arm_users import ArmUsers, arm_propensities, read_train_users
from dagster_project.scores.score_groups import doubles
from dagster_project.training.fitting import Trained
from dagster_project.training.registry import current_version, deciding_learner
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.arm_gate import ArmDesign, ArmFold, ArmVerdict, PolicyVerdict, judge_arms
from uplift_core.evaluation.tables import Rows
from uplift_core.experiment.declaration import Experiment
from uplift_core.targeting.arm_choice import arm_costs, least_price, value_per_cost
from uplift_core.targeting.effect_map import EffectMap

ARM_POLICIES = Identifier.of("models", "arm_policies")
ARM_CALIBRATION = Identifier.of("models", "arm_calibration")
BUDGETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


def judge_policies(
    db: Warehouse, experiment: BatchExperiment, trained: Mapping[str, Trained]
) -> ArmVerdict | None:
    """Calibrate the arms and judge policies by out-of-fold predictions.

    Returns:
        The verdict; None for one treatment arm, where users are in clusters, as the test takes users as
        independent, and where costs fall on exposure, as it takes them as known.
    """
    declaration = experiment.declaration
    by_exposure = declaration.decisions.cost_per != "assigned"
    if len(declaration.treatments) == 1 or declaration.cluster or by_exposure:
        return None
    deciding = {arm: each.deciding for arm, each in trained.items() if each.deciding is not None}
    users = read_train_users(db, experiment, declaration.defaults.outcome)
    predictions = [_by_fold(deciding[arm]) for arm in declaration.treatments]
    # A fold is judged if every arm has models of the folds before it.
    judged = sorted(set.intersection(*(set(each) for each in predictions)) & set(users))
    folds = [_fold(users[k], [each[k] for each in predictions], trained=k) for k in judged]
    if not folds:
        raise DataError(
            f"{experiment.name}: no fold has train users of all arms before it; policies over several "
            "arms cannot be judged"
        )
    return judge_arms(folds, arm_design(declaration), budgets_of(declaration))


def arm_design(experiment: Experiment) -> ArmDesign:
    """Return the arms as the judgement takes them."""
    return ArmDesign(
        names=experiment.treatments,
        costs=arm_costs(experiment),
        propensity=arm_propensities(experiment),
        value=value_per_cost(experiment),
        least_price=least_price(experiment),
    )


def budgets_of(experiment: Experiment) -> tuple[float, ...]:
    """Return the budgets at which policies are judged, with the declared one."""
    return tuple(sorted({*BUDGETS, experiment.defaults.budget}))


Columns = dict[str, Doubles]


def _by_fold(deciding: pa.Table) -> dict[int, Columns]:
    names = ("cell", "score", "mu0", "mu1")
    columns = {name: doubles(deciding, name) for name in names}
    fold = deciding.column("fold").to_numpy()
    return {int(k): {name: each[fold == k] for name, each in columns.items()} for k in np.unique(fold)}


def _fold(users: ArmUsers, predictions: list[Columns], *, trained: int) -> ArmFold:
    """Join a fold's users with the predictions of every arm."""

    def of(name: str) -> Doubles:
        columns = []
        for each in predictions:
            place = np.searchsorted(each["cell"], users.cell)
            columns.append(each[name][place])
        return np.column_stack(columns)

    # Every contrast has a model of the control; it is the same unless arms were tuned separately.
    mu = np.column_stack([of("mu0").mean(axis=1), of("mu1")])
    return ArmFold(users.n, users.y, users.yy, users.events, mu, of("score"), trained)


def effect_maps(verdict: ArmVerdict | None) -> dict[str, EffectMap]:
    """Return the maps of a verdict, by arm; none where arms were not judged together."""
    return {arm: each.effect_map for arm, each in verdict.calibrations.items()} if verdict else {}


def write_arm_verdict(
    db: Warehouse,
    experiment: BatchExperiment,
    version: str,
    verdict: ArmVerdict | None,
) -> tuple[PolicyVerdict, ...]:
    """Record a version's calibrations and policies, after the registry; return the policies."""
    if verdict is None:
        return ()
    key = {"model_version": version}
    label = {**key, "experiment": experiment.name}
    learners = {arm: deciding_learner(db, experiment, arm) for arm in verdict.calibrations}
    calibrations = pa.Table.from_pylist(list(_calibration_rows(label, learners, verdict)))
    db.replace_rows(ARM_CALIBRATION, key, calibrations)
    label["outcome"] = experiment.declaration.defaults.outcome
    policies = [row for at in verdict.policies for row in _policy_rows(label, at)]
    db.replace_rows(ARM_POLICIES, key, pa.Table.from_pylist(policies))
    return verdict.policies


def _calibration_rows(
    label: dict[str, str], learners: Mapping[str, str], verdict: ArmVerdict
) -> Iterator[dict[str, object]]:
    for arm, each in verdict.calibrations.items():
        after = verdict.after[arm]
        yield label | {
            "arm": arm,
            "learner": learners[arm],
            "level": each.effect_map.level,
            "slope": each.effect_map.slope,
            "slope_before": _known(each.slope.value),
            "slope_before_std_error": _known(each.slope.std_error),
            "excess_before": _known(each.excess.value),
            "excess_before_std_error": _known(each.excess.std_error),
            "slope_after": _known(after.slope.value),
            "slope_after_std_error": _known(after.slope.std_error),
            "excess_after": _known(after.excess.value),
            "excess_after_std_error": _known(after.excess.std_error),
        }


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _policy_rows(label: dict[str, str], at: PolicyVerdict) -> Rows:
    shared = label | {
        "budget": at.budget,
        "best_single": at.best_single,
        "decider": at.decider,
        "word": at.word,
        "reason": at.reason,
        "events": at.events,
        "n": at.n,
    }
    return [
        shared
        | {
            "policy": each.policy,
            "gain": each.gain.value,
            "std_error": each.gain.std_error,
            "spend": each.spend,
            "arm_shares": json.dumps(each.arm_shares),
            "lead": each.lead.value,
            "lead_std_error": each.lead.std_error,
            "z": each.z,
            "critical": each.critical,
        }
        for each in at.findings
    ]


def read_effect_maps(db: Warehouse, experiment: BatchExperiment) -> dict[str, EffectMap]:
    """Read the maps of the current model version, by arm; empty if its arms were not calibrated."""
    rows = db.rows(
        f"select arm, level, slope from {ARM_CALIBRATION} where model_version = $version",
        {"version": current_version(db, experiment.name)},
    )
    return {arm: EffectMap(level=level, slope=slope) for arm, level, slope in rows}


def calibrated(db: Warehouse, experiment: BatchExperiment, scores: Doubles) -> Doubles:
    """Return the effects of deciding learners' scores, (n, n_arms); the scores if there are no maps."""
    maps, effects = read_effect_maps(db, experiment), scores.copy()
    for a, arm in enumerate(experiment.declaration.treatments):
        if arm in maps:
            effects[:, a] = maps[arm].effects(scores[:, a].astype(np.float32))
    return effects
