"""Load XGBoost without scikit-learn, which takes several times as long to import as XGBoost itself.

XGBoost imports scikit-learn, if it is installed, for estimators of its own, and this project uses none.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading


def import_xgboost() -> None:
    """Import XGBoost as if scikit-learn were not installed, unless either is imported already.

    Afterwards scikit-learn can be imported as usual, but XGBoost's own estimators (``XGBRegressor``)
    cannot be used in this process. So commands call this, and no module does when it is imported.
    """
    if "xgboost" in sys.modules or "sklearn" in sys.modules:
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment] # its import raises ModuleNotFoundError
    try:
        import xgboost  # noqa: F401, PLC0415
    finally:
        del sys.modules["sklearn"]


def begin_worker() -> None:
    """Prepare a process of a pool: it leaves an interrupt to the process that started it.

    It ends with that process, however that one ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import_xgboost()


def _end_with_parent() -> None:
    """Wait for the end of the process that started this one, then end this one at once."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
