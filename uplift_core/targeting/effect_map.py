"""Maps that make the scores of several contrasts comparable: each turns a score into an effect."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from uplift_core.arrays import Floats

SMALLEST_SLOPE = 0.01  # keeps the order of the scores, however little they say


class EffectMap(BaseModel):
    """effect = level + slope * score: the calibrated effect of one contrast's score.

    The map is increasing, so the ranking within a contrast stays that of the score.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: float = Field(allow_inf_nan=False)
    slope: float = Field(ge=SMALLEST_SLOPE, allow_inf_nan=False)

    def effects(self, score: Floats) -> Floats:
        """Return the effects of scores, (n,) float32 each; equal to the bit for one and for many."""
        return (self.level + self.slope * score.astype(np.float64)).astype(np.float32)


IDENTITY = EffectMap(level=0.0, slope=1.0)
