"""Types of arrays: float32 and float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


Doubles = npt.NDArray[np.float64]
