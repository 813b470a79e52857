"""Settings that are equal for all contenders: the rows, the boosting, the threads."""

from __future__ import annotations

from dataclasses import dataclass

ROUNDS = 100
MAX_DEPTH = 5
LEARNING_RATE = 0.1
MAX_BIN = 64
SEED = 7
PROPENSITY = 0.85  # by Criteo's design
FOLDS = 2  # our folds; equal to econml's default


@dataclass(frozen=True)
class Contender:
    """A row of the table: a name, and how the contender uses folds and propensities."""

    name: str
    note: str


OURS = "ours: S T X R DR"
BASELINE = "causalml X"
CONTENDERS = (
    Contender(OURS, f"{FOLDS} folds; all learners, and the response model"),
    Contender(BASELINE, "no folds; propensity passed in"),
    Contender("causalml S", "no folds; no propensity"),
    Contender("causalml T", "no folds; no propensity"),
    Contender("causalml R", "5 folds, its default, one at a time; propensity passed in"),
    Contender("causalml DR", "3 folds, fixed; propensity passed in"),
    Contender("econml XLearner", "no folds; propensity: DummyClassifier"),
    Contender("econml DRLearner", "2 folds, its default; propensity: DummyClassifier"),
    Contender("econml NonParamDML", "2 folds, its default; propensity: DummyClassifier"),
)
