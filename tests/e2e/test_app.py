"""The app as a visitor sees it: headless Chromium, app and API as they are, Hillstrom's run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.chromium import CHROMIUM, browser
from bench.tour import Tour, look_for_pale_texts, walk


@pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's package chromium is not installed")
def test_a_visitor_scores_moves_the_budget_and_survives_a_dead_api(hillstrom_home: Path) -> None:
    tour = Tour.of(hillstrom_home, "hillstrom")
    with tour.serving_app(), browser() as page:
        walk(tour, page)
    assert tour.checks, "nothing was looked at"
    assert [check for check, passed in tour.checks.items() if not passed] == []


@pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's package chromium is not installed")
def test_all_text_can_be_read_on_light_and_dark(hillstrom_home: Path) -> None:
    tour = Tour.of(hillstrom_home, "hillstrom")
    with tour.serving_app(), browser() as page:
        look_for_pale_texts(tour, page)
    assert [check for check, passed in tour.checks.items() if not passed] == []
