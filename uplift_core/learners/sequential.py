"""Fit all learners fold after fold, on the folds before each: the models by which they are compared."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.boosting.side_by_side import call_all
from uplift_core.boosting.workers import sum_over_workers
from uplift_core.cells import Cells
from uplift_core.errors import DataError
from uplift_core.learner_names import LearnerName
from uplift_core.learners.contrast import ContrastModel, fit_on
from uplift_core.learners.nuisance import FittedModels, Nuisances, OutcomeModels, predict_at


def sequential_fit(
    cells: Cells,
    parameters: LearnerParameters,
    threads: int = 0,
    of_control: FittedModels | None = None,
    *,
    decides: LearnerName = "stack",
) -> Iterator[tuple[int, ContrastModel]]:
    """Yield (fold, model) for each fold but the first; all learners are fitted on the folds before it.

    The learners' nuisances for a fold are predicted by models of the folds before that one, too, which
    are fitted in any case; the first two folds predict each other. To judge the second fold, only the
    first one is available, and its nuisances are predicted in sample: this costs power, but not
    validity. Leaves are sized by the folds that train. A fold is skipped if the folds before it have no
    user of one of the arms. ``of_control`` is shared by the contrasts of several arms, see
    ``OutcomeModels.of``. Bags are those of ``fit_learners``.
    """
    if cells.n_folds < 3:  # noqa: PLR2004 - fewer are hardly a comparison
        raise DataError(f"{cells.n_folds} folds: three or more are needed to compare learners in train")
    folds = range(cells.n_folds)

    def models_without(never_seen: Collection[int]) -> OutcomeModels:
        return OutcomeModels.of(cells, parameters, threads, of_control, never_seen)

    before = {k: models_without(folds[k:]) for k in folds[1:] if _both_arms(cells, folds[:k])}
    if not before:
        return
    second = models_without([k for k in folds if k != 1]) if _both_arms(cells, [1]) else None
    # The last models predict for no others, so their pooled one is not needed.
    fits = [fit for k, models in before.items() for fit in models.fits(pooled=k < folds[-1])]
    fits += second.fits() if second else []
    call_all(fits, before[max(before)].fitter.workers)
    for k, models in before.items():
        # Folds that no earlier models can predict are predicted by the models themselves.
        sources = {j: before.get(j, models) for j in range(k)}
        sources[0] = models if k == 1 else second or before.get(1, models)
        nuisances = _sequential_nuisances(models, sources)
        yield k, fit_on(models.cells, nuisances, models.fitter, decides)


def _both_arms(cells: Cells, folds: Collection[int]) -> bool:
    inside = ~cells.outside(folds)
    users = [cells.n[inside & (cells.w == w)].sum() for w in (0, 1)]
    return bool(np.all(sum_over_workers(users) > 0))


def _sequential_nuisances(models: OutcomeModels, sources: Mapping[int, OutcomeModels]) -> Nuisances:
    """Return both arms' models, and the predictions for each fold by the models of ``sources``."""
    cells, arms = models.cells, models.arms()
    m, mu0, mu1 = (np.empty(len(cells.n)) for _ in range(3))
    for fold, source in sources.items():
        rows = cells.fold == fold
        at = cells.cell[rows]
        m[rows] = predict_at(source.pooled(), cells.x, at)
        mu0[rows] = predict_at(source.arm(0), cells.x, at)
        mu1[rows] = predict_at(source.arm(1), cells.x, at)
    return Nuisances(arms.mu0, arms.mu1, m_oof=m, mu0_oof=mu0, mu1_oof=mu1)
