"""Fits side by side: order of results, errors, and ends that do not wait."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest

from tests.uplift_core.learners.rct import PARAMETERS, make_rct
from uplift_core.boosting.booster import fit_booster
from uplift_core.boosting.parameters import BoostingParameters
from uplift_core.boosting.side_by_side import after_each, call_all, cores
from uplift_core.learners import nuisance
from uplift_core.learners.contrast import (
    ContrastModel,
    fit_contrast,
    fits_of_contrast,
)
from uplift_core.learners.nuisance import OutcomeModels
from uplift_core.learners.sequential import sequential_fit

LONG = BoostingParameters(rounds=1_000_000, max_depth=2, learning_rate=0.1, min_leaf_events=1)


def long_fit() -> None:
    """Takes an hour unless it is stopped."""
    x = np.random.default_rng(0).normal(size=(2_000, 2)).astype(np.float32)
    label, weight = x[:, 0].astype(np.float64), np.ones(len(x))
    fit_booster(
        x,
        label,
        weight,
        objective="reg:squarederror",
        min_child_weight=1,
        parameters=LONG,
        max_bin=256,
        seed=1,
        threads=1,
    )


def test_results_come_in_the_order_of_the_calls() -> None:
    calls = [lambda k=k: time.sleep(0.02 * (3 - k)) or k for k in range(4)]
    assert call_all(calls, 2) == call_all(calls, 1) == [0, 1, 2, 3]
    assert call_all([], 2) == []


def test_two_calls_run_at_once() -> None:
    meeting = threading.Barrier(2, timeout=30)
    call_all([meeting.wait, meeting.wait], 2)


def test_an_error_ends_the_fits_beside_it() -> None:
    def fail() -> None:
        time.sleep(0.2)
        raise ValueError("no such fit")

    began = time.monotonic()
    with pytest.raises(ValueError, match="no such fit"):
        call_all([long_fit, fail, long_fit], 2)
    assert time.monotonic() - began < 30


INTERRUPTED = """
import os, signal, threading
from tests.uplift_core.boosting.test_side_by_side import long_fit
from uplift_core.boosting.side_by_side import call_all
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
call_all([long_fit, long_fit], 2)
"""


def test_a_signal_ends_fits_side_by_side() -> None:
    call = [sys.executable, "-c", INTERRUPTED]
    ended = subprocess.run(call, check=False, capture_output=True, timeout=120)
    assert b"KeyboardInterrupt" in ended.stderr
    assert ended.returncode in {1, -signal.SIGINT, 128 + signal.SIGINT}


def raw(model: ContrastModel) -> dict[str, bytes]:
    return {role: bytes(booster.save_raw("ubj")) for role, booster in model.boosters.items()}


def test_models_are_equal_for_any_number_of_threads() -> None:
    cells = make_rct().cells()
    one, three = (raw(fit_contrast(cells, PARAMETERS, threads)) for threads in (1, 3))
    assert one == three
    folds = [[raw(m) for _, m in sequential_fit(cells, PARAMETERS, threads)] for threads in (1, 3)]
    assert folds[0] == folds[1]


def test_arms_share_the_controls_models_to_the_bit() -> None:
    """The contrasts of two arms have different shares of treated users, and the same controls."""
    rct = make_rct()
    cells = rct.cells()
    treated = np.flatnonzero(cells.w == 1)
    fewer = np.setdiff1d(np.arange(len(cells.w)), treated[::3])
    names = ("cell", "w", "fold", "n", "y_sum", "events")
    other = type(cells)(
        **{name: getattr(cells, name)[fewer] for name in names},
        x=cells.x,
        propensity=0.37,
        binary=cells.binary,
        max_bin=cells.max_bin,
    )
    shared: dict = {}
    fit = partial(OutcomeModels.of, parameters=PARAMETERS, of_control=shared)
    first = fit(cells).arm(0)
    assert fit(other).arm(0) is first
    alone = OutcomeModels.of(other, PARAMETERS).arm(0)
    assert bytes(alone.save_raw("ubj")) == bytes(first.save_raw("ubj"))
    assert fit(other, never_seen={2}).arm(0) is not first


def test_cores_are_at_least_one() -> None:
    assert cores() >= 1


@pytest.mark.parametrize("threads", [1, 2])
def test_who_watches_is_told_of_every_fit(threads: int) -> None:
    done: list[int] = []
    cells = make_rct().cells()
    with after_each(lambda: done.append(1)):
        fit_contrast(cells, PARAMETERS, threads)
        list(sequential_fit(cells, PARAMETERS, threads))
    assert len(done) == fits_of_contrast(cells.n_folds)
    call_all([lambda: None], threads)  # nobody watches any more
    assert len(done) == fits_of_contrast(cells.n_folds)


def test_all_fits_of_a_large_contrast_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those on the few cells of its first fold: they would run beside fits in all threads."""
    cells = make_rct().cells()
    monkeypatch.setattr(nuisance, "MOST_CELLS_SIDE_BY_SIDE", len(cells.n) // 2)
    first = OutcomeModels.of(cells, PARAMETERS, 2, never_seen={1, 2})
    assert len(first.cells.n) < len(cells.n) // 2
    assert (first.fitter.workers, first.fitter.threads) == (1, 2)
    few = OutcomeModels.of(first.cells, PARAMETERS, 2)
    assert (few.fitter.workers, few.fitter.threads) == (2, 1)
