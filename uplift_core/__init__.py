"""The science of the uplift engine, on arrays: this package reads no database, no users' file, no HTTP.

Begin with ``learners`` (the meta-learners), ``evaluation`` (held-out figures with standard errors) and
``targeting`` (whom to treat within a budget).
"""

import os

# XGBoost's threads wait for each other; beside other work, threads that wait busily take ten times as
# long. OpenMP reads this once, when XGBoost is loaded; no module of this package is imported before.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The sums of products that NumPy computes here are short: in two threads, which wait busily, they take
# up to 20 times as long, and their last bits depend on the cores. OpenBLAS reads this with NumPy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def __getattr__(name: str) -> object:
    """Load the library's face when it is first used: NumPy and XGBoost take a second."""
    if name == "evaluate":
        from uplift_core.library.any_scores import evaluate  # noqa: PLC0415

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
