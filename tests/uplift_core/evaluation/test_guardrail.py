"""Guardrails: how often they stop a campaign that keeps to the limit, and one that does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from uplift_core.evaluation.guardrail import Events

LIMIT = 0.01
CAMPAIGNS, NIGHTS, USERS = 1_000, 60, 500


def stopped(rates: np.ndarray, rng: np.random.Generator) -> float:
    """The share of campaigns that are stopped on any night; ``rates`` (campaigns, users) are by user.

    The same users are treated every night.
    """
    ever = np.zeros(len(rates), dtype=bool)
    by_user = np.zeros(rates.shape)
    for night in range(1, NIGHTS + 1):
        by_user += rng.random(rates.shape) < rates
        squares = ((by_user - night * LIMIT) ** 2).sum(axis=1)
        for campaign in np.flatnonzero(~ever):
            happened = float(by_user[campaign].sum())
            events = Events(night * USERS, USERS, happened, float(squares[campaign]), LIMIT)
            ever[campaign] = events.too_many
    return float(ever.mean())


@pytest.mark.parametrize("alike", [True, False])
def test_a_campaign_at_the_limit_is_rarely_stopped_on_any_night(*, alike: bool) -> None:
    """Also where some users have the event again and again: users are drawn, a fifth of them prone."""
    rng = np.random.default_rng(1)
    prone = np.where(rng.random((CAMPAIGNS, USERS)) < 0.2, 5 * LIMIT, 0.0)
    rates = np.full((CAMPAIGNS, USERS), LIMIT) if alike else prone
    assert stopped(rates, rng) <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / CAMPAIGNS)


def test_a_campaign_that_does_harm_is_stopped() -> None:
    rng = np.random.default_rng(2)
    assert stopped(np.full((100, USERS), 1.5 * LIMIT), rng) > 0.95


def test_nothing_is_refused_for_lack_of_events() -> None:
    for n in (1, 10, 1_000):
        events = Events(n, n, 0.0, n * LIMIT**2, LIMIT)
        assert events.rate == 0
        assert not events.too_many
    one = Events(1, 1, 1.0, (1 - LIMIT) ** 2, LIMIT)
    assert not one.too_many
