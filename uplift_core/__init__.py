"""The science of the uplift engine, and its library: ``import uplift_core as uplift``.

``fit`` learns from a table in memory, ``load`` reads a saved model, ``evaluate`` judges anybody's
scores, and ``SLearner`` to ``Stack`` are single learners by scikit-learn's conventions.

This package reads no database and no HTTP; below its face it works on arrays. To read the code, begin
with ``learners`` (the meta-learners), ``evaluation`` (held-out figures with standard errors) and
``targeting`` (whom to treat within a budget).
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uplift_core.library.any_scores import evaluate
    from uplift_core.library.estimators import DRLearner, RLearner, SLearner, Stack, TLearner, XLearner
    from uplift_core.library.fitting import fit
    from uplift_core.library.model import load

__all__ = [
    "DRLearner",
    "RLearner",
    "SLearner",
    "Stack",
    "TLearner",
    "XLearner",
    "evaluate",
    "fit",
    "load",
]

# XGBoost's threads wait for each other; beside other work, threads that wait busily take ten times as
# long. OpenMP reads this once, when XGBoost is loaded; no module of this package is imported before.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The sums of products that NumPy computes here are short: in two threads, which wait busily, they take
# up to 20 times as long, and their last bits depend on the cores. OpenBLAS reads this with NumPy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


# Names of the library's face, and the modules that define them.
_FACE = {
    "evaluate": "any_scores",
    "fit": "fitting",
    "load": "model",
    **dict.fromkeys(
        ("SLearner", "TLearner", "XLearner", "RLearner", "DRLearner", "Stack"), "estimators"
    ),
}


def __getattr__(name: str) -> object:
    """Load the library's face when it is first used: NumPy and XGBoost take a second."""
    if name in _FACE:
        from importlib import import_module  # noqa: PLC0415 - only where the library is used

        return getattr(import_module(f"uplift_core.library.{_FACE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACE})
