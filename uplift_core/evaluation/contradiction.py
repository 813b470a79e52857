"""Decide whether held-out users contradict what the evidence inside train said of a learner.

Two one-sided tests look at the held-out gain over random targeting, at the declared budget. The first
asks whether the 95 % interval ends below 0. The second asks whether the gain lies below the gain that
the procedure achieved inside train, which is ``Comparison.procedure``: the stack's own gain where it
decides. Where a learner is chosen, it is not the champion's gain inside train: that is the largest of
several, so held-out gains fall below it by the choice alone.
"""

from __future__ import annotations

import math

from uplift_core.evaluation.estimate import Z95, Estimate

BELOW = -1.6448536269514722  # the normal distribution's 5 % quantile


def contradiction(held_out: Estimate, procedure: Estimate | None) -> str | None:
    """Return what held-out users say against acting on a learner, in a sentence; None if nothing.

    Args:
        held_out: gain over random of the learner, per held-out user.
        procedure: gain of the procedure inside train; None where this learner is not its champion.
    """
    message = f"on held-out users it gains {_figure(held_out)} over random targeting"
    if held_out.z < -Z95:
        return f"{message}: its 95 % interval ends below 0."
    if procedure is None:
        return None
    error = math.hypot(held_out.std_error, procedure.std_error)
    if error > 0 and (held_out.value - procedure.value) / error < BELOW:
        return f"{message}, less than the procedure gained inside train ({_figure(procedure)})."
    return None


def _figure(gain: Estimate) -> str:
    return f"{gain.value:+.5f} per user (standard error {gain.std_error:.5f})"
