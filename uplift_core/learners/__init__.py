"""The meta-learners S, T, X, R, DR and their stack over XGBoost, fitted on cells.

``fit_contrast`` fits all of them on shared nuisances; ``ContrastModel`` scores users with them.
"""

from uplift_core.learner_names import LEARNER_NAMES, SINGLE_LEARNERS, LearnerName, SingleLearner
from uplift_core.learners.base import Learner
from uplift_core.learners.contrast import (
    LEARNERS,
    ContrastModel,
    Predictions,
    fit_contrast,
    fit_learners,
    fits_of_contrast,
)
from uplift_core.learners.nuisance import ArmModels, OutcomeModels
from uplift_core.learners.sequential import sequential_fit

__all__ = [
    "LEARNERS",
    "LEARNER_NAMES",
    "SINGLE_LEARNERS",
    "ArmModels",
    "ContrastModel",
    "Learner",
    "LearnerName",
    "OutcomeModels",
    "Predictions",
    "SingleLearner",
    "fit_contrast",
    "fit_learners",
    "fits_of_contrast",
    "sequential_fit",
]
