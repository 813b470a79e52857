"""Names of the meta-learners; the file of each is ``learners/<name>.py``."""

from __future__ import annotations

from typing import Literal, get_args

LearnerName = Literal["s", "t", "x", "r", "dr"]
LEARNER_NAMES: tuple[LearnerName, ...] = get_args(LearnerName)
