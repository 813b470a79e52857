"""Names of the learners; the file of each is ``learners/<name>.py``."""

from __future__ import annotations

from typing import Literal, get_args

SingleLearner = Literal["s", "t", "x", "r", "dr"]
LearnerName = Literal[SingleLearner, "stack"]
SINGLE_LEARNERS: tuple[SingleLearner, ...] = get_args(SingleLearner)
LEARNER_NAMES: tuple[LearnerName, ...] = get_args(LearnerName)
