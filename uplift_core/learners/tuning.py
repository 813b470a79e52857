"""Choose parameters by cross-validated loss, on the train cells alone and without any known truth.

Outcome models are compared by the loss of their out-of-fold predictions (log loss where the outcome is
binary, squared error otherwise). Effect models are compared by the R-loss of held-out folds, and so is
the S-learner's model, by the effect that it implies. This is the criterion that Schuler et al. (2018)
found to choose best. The DR-loss is recorded beside it.

Losses leave out the variance of outcomes within cells, which is the same for every candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.boosting.booster import predict_booster
from uplift_core.boosting.parameters import BoostingParameters, LearnerParameters
from uplift_core.cells import Cells, merge
from uplift_core.learners.dr import dr_pseudo_outcome
from uplift_core.learners.nuisance import Fitter, Nuisances, OutcomeModels, fit_nuisances
from uplift_core.learners.r import r_pseudo_outcome
from uplift_core.learners.s import SLearner

Kind = Literal["outcome", "effect", "s"]
Report = Callable[[int, int], None]  # number of trials done, number of all trials
FoldEffect = Callable[[Cells, Nuisances, Fitter, int], Doubles]  # effect at the cells of a fold

# Pairs of rounds and learning rate: half the rate needs about twice the rounds.
PACES = ((60, 0.05), (100, 0.05), (150, 0.1), (300, 0.1))
DEPTHS = (1, 2, 3)
LEAVES = (20, 60, 300)
TUNED_FOLDS = 2  # the first folds choose parameters, which the others judge: the gate stays valid
CERTAIN = 1e-6  # a prediction of exactly 0 or 1 would cost an infinite log loss


@dataclass(frozen=True)
class Trial:
    """One candidate and its loss.

    Attributes:
        kind: which models the parameters are for.
        parameters: the candidate.
        loss: mean loss over users, which is minimised.
        std_error: standard error, over folds, of the difference to the best candidate's loss.
        dr_loss: DR-loss of an effect candidate; NaN for an outcome candidate.
        chosen: whether this is the best of its kind.
    """

    kind: Kind
    parameters: BoostingParameters
    loss: float
    std_error: float
    dr_loss: float
    chosen: bool


def grid() -> list[BoostingParameters]:
    """Return the candidates, which are the same for every kind: every pace, depth and leaf size."""
    return [
        BoostingParameters(rounds=rounds, learning_rate=rate, max_depth=depth, min_leaf_events=leaf)
        for (rounds, rate), depth, leaf in product(PACES, DEPTHS, LEAVES)
    ]


def tune(
    cells: Cells,
    start: LearnerParameters,
    candidates: list[BoostingParameters] | None = None,
    *,
    threads: int = 0,
    report: Report = lambda _done, _all: None,
) -> tuple[LearnerParameters, list[Trial]]:
    """Choose the parameters of outcome models, and with their nuisances those of effect models.

    Only the first ``TUNED_FOLDS`` folds are used, so that the learners are judged on users who did not
    choose their parameters.

    Args:
        cells: train cells of one contrast.
        start: gives the seed, and parameters that are tried besides the candidates.
        candidates: parameters to try; by default the grid.
        threads: number of threads; 0 means all cores.
        report: called after every trial with the number of trials done and that of all trials.
    """
    cells = cells.without(range(TUNED_FOLDS, cells.n_folds))
    tried = list(
        dict.fromkeys([*(candidates or grid()), start.outcome, start.effect, start.s or start.outcome])
    )
    count = iter(range(1, 3 * len(tried) + 1))

    def counted(losses: Iterator[tuple[Doubles, float]]) -> list[tuple[Doubles, float]]:
        computed = []
        for loss in losses:
            computed.append(loss)
            report(next(count), 3 * len(tried))
        return computed

    outcome = _trials("outcome", tried, counted(_outcome_losses(cells, start, tried, threads)))
    parameters = start.model_copy(update={"outcome": _chosen(outcome)})
    nuisances = fit_nuisances(OutcomeModels.of(cells, parameters, threads))
    trials: dict[Kind, list[Trial]] = {"outcome": outcome}
    effects: tuple[tuple[Kind, FoldEffect], ...] = (("effect", _r_effect), ("s", _s_effect))
    for kind, fold_effect in effects:
        fitters = [
            Fitter.for_cells(cells, parameters.model_copy(update={kind: candidate}), threads)
            for candidate in tried
        ]
        losses = counted(_effect_losses(cells, nuisances, fitters, fold_effect))
        trials[kind] = _trials(kind, tried, losses)
    chosen: dict[str, BoostingParameters] = {kind: _chosen(of_kind) for kind, of_kind in trials.items()}
    tuned = start.model_copy(update=chosen).tuned_on(TUNED_FOLDS)
    return tuned, [trial for of_kind in trials.values() for trial in of_kind]


def _outcome_losses(
    cells: Cells, start: LearnerParameters, tried: list[BoostingParameters], threads: int
) -> Iterator[tuple[Doubles, float]]:
    for candidate in tried:
        parameters = start.model_copy(update={"outcome": candidate})
        fitted = fit_nuisances(OutcomeModels.of(cells, parameters, threads))
        of_arm = np.where(cells.w == 1, fitted.mu1_oof, fitted.mu0_oof)
        loss = _loss(cells, of_arm) + _loss(cells, fitted.m_oof)
        yield _by_fold(cells, loss / 2), float("nan")


def _effect_losses(
    cells: Cells, nuisances: Nuisances, fitters: list[Fitter], fold_effect: FoldEffect
) -> Iterator[tuple[Doubles, float]]:
    label, weight = r_pseudo_outcome(cells, nuisances)
    phi = dr_pseudo_outcome(cells, nuisances)
    for fitter in fitters:
        tau = np.empty(len(cells.n))
        for fold in range(cells.n_folds):
            tau[cells.fold == fold] = fold_effect(cells, nuisances, fitter, fold)
        dr_loss = float(np.average((phi - tau) ** 2, weights=cells.n))
        yield _by_fold(cells, weight * (label - tau) ** 2), dr_loss


def _r_effect(cells: Cells, nuisances: Nuisances, fitter: Fitter, fold: int) -> Doubles:
    """Predict the effect in a fold by the R-learner's model of the other folds."""
    seen = cells.fold != fold
    label, weight = r_pseudo_outcome(cells, nuisances)
    data = merge(cells.x, cells.cell[seen], label[seen], weight[seen])
    booster = fitter.effect_model(data, weight_per_user=cells.mean_overlap)
    return predict_booster(booster, cells.x[cells.cell[~seen]]).astype(np.float64)


def _s_effect(cells: Cells, nuisances: Nuisances, fitter: Fitter, fold: int) -> Doubles:
    """Predict the effect in a fold by the S-learner of the other folds."""
    learner = SLearner.fit(cells.without({fold}), nuisances, fitter)
    return learner.predict(cells.x[cells.cell[cells.fold == fold]]).astype(np.float64)


def _loss(cells: Cells, predicted: Doubles) -> Doubles:
    """Compute the summed loss of each cell's users: (n_cells,)."""
    if not cells.binary:
        return cells.n * (cells.y_mean - predicted) ** 2
    sure = np.clip(predicted, CERTAIN, 1 - CERTAIN)
    loss = cells.y_sum * np.log(sure) + (cells.n - cells.y_sum) * np.log1p(-sure)
    return np.asarray(-loss, dtype=np.float64)


def _by_fold(cells: Cells, loss: Doubles) -> Doubles:
    """Average the loss over each fold's users: (n_folds,)."""
    return np.asarray(np.bincount(cells.fold, weights=loss) / np.bincount(cells.fold, weights=cells.n))


def _trials(
    kind: Kind, tried: list[BoostingParameters], losses: list[tuple[Doubles, float]]
) -> list[Trial]:
    best = int(np.argmin([loss.mean() for loss, _ in losses]))
    trials = []
    for i, (parameters, (loss, dr_loss)) in enumerate(zip(tried, losses, strict=True)):
        differences = loss - losses[best][0]
        error = float(differences.std(ddof=1) / np.sqrt(len(differences)))
        trials.append(Trial(kind, parameters, float(loss.mean()), error, dr_loss, chosen=i == best))
    return trials


def _chosen(trials: list[Trial]) -> BoostingParameters:
    return next(trial.parameters for trial in trials if trial.chosen)
