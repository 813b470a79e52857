"""Titles of plots say no more than their intervals bear."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.contrast import GRAPHICS, TEXT, contrast, parse
from dagster_project.checks import pages
from uplift_core.plots import (
    BLACK,
    COLOURS,
    GREY,
    decile_plot,
    distribution_plot,
    policy_plot,
    qini_plot,
    specification,
)


def title(chart: Any) -> str:
    return str(json.loads(specification(chart))["title"]["text"])


@pytest.mark.parametrize(
    ("std_error", "words"), [(0.001, "above worst tenth"), (0.1, "within chance of worst tenth")]
)
def test_the_best_tenth_is_above_the_worst_by_more_than_chance_only(
    std_error: float, words: str
) -> None:
    rows = [
        {"learner": "x", "decile": i, "uplift": 0.1 - 0.00999 * i, "std_error": std_error}
        for i in range(1, 11)
    ]
    shown = title(decile_plot(rows, "x", "visit"))
    assert words in shown
    assert f"± {std_error:.2g}" in shown
    assert "e-" not in shown


def test_tenths_without_events_are_not_compared() -> None:
    rows = [
        {"learner": "x", "decile": i, "uplift": 0.1, "std_error": 0.1 if i < 10 else float("nan")}
        for i in range(1, 11)
    ]
    chart = decile_plot(rows, "x", "visit")
    assert "too few outcomes" in title(chart)
    assert "NaN" not in specification(chart)


@pytest.mark.parametrize(
    ("gain", "words"),
    [(0.01, "above random"), (0.001, "within chance of random"), (-0.01, "below random")],
)
def test_a_gain_over_random_is_told_with_its_error(gain: float, words: str) -> None:
    rows = [
        {"learner": name, "estimator": "aipw", "budget": budget, "gain_over_random": gain * budget / 0.3,
         "gain_std_error": 0.002}
        for name in ("x", "response")
        for budget in (0.3, 0.6)
    ]  # fmt: skip
    shown = title(policy_plot(rows, "x", "visit", 0.3))
    assert words in shown
    assert "± 0.002" in shown


def test_the_qini_plot_gives_the_errors_and_random_beside_it() -> None:
    rows = [
        {"learner": name, "targeted": at, "incremental": added, "std_error": 40.0}
        for name in ("x", "response")
        for at, added in ((0, 0.0), (300, 120.0), (1000, 200.0))
    ]
    shown = title(qini_plot(rows, "x", "converted", 0.3))
    assert shown == "X-learner: best 30% add 120 ± 40, random targeting 60"


WHITE = parse("#ffffff")


@pytest.mark.parametrize("colour", [*COLOURS, GREY, BLACK])
def test_colours_can_be_told_from_white(colour: str) -> None:
    assert contrast(parse(colour), WHITE) >= GRAPHICS


def test_lines_over_bars_can_be_told_from_them() -> None:
    assert contrast(parse(BLACK), parse(COLOURS[0])) >= GRAPHICS


def test_bars_that_overlap_have_edges_of_their_full_colour() -> None:
    rows = [{"arm": arm, "low": 0.0, "high": 0.1, "users": 9.0} for arm in ("a", "b")]
    spec = json.loads(specification(distribution_plot(rows, "a", "x", "visit")))
    assert (spec["mark"]["opacity"], spec["mark"]["strokeWidth"]) == (1, 1)
    assert spec["encoding"]["stroke"]["scale"]["range"] == list(COLOURS[:2])


def test_text_of_the_check_pages_can_be_read() -> None:
    css = (Path(pages.__file__).parent / "pages.css").read_text(encoding="utf-8")
    grounds = re.findall(r"background: (#[0-9a-f]{6})", css)
    assert len(grounds) == 2
    for colour in re.findall(r"(?<![-\w])color: (#[0-9a-f]{6})", css):
        for ground in ("#ffffff", *grounds):
            assert contrast(parse(colour), parse(ground)) >= TEXT


@pytest.mark.parametrize("name", ["qini", "deciles", "policy"])
def test_a_title_with_an_error_says_in_the_subtitle_which_it_is(name: str) -> None:
    deciles = [{"learner": "x", "decile": i, "uplift": 0.1, "std_error": 0.1} for i in range(1, 11)]
    policy = [
        {
            "learner": n,
            "estimator": "aipw",
            "budget": 0.3,
            "gain_over_random": 0.1,
            "gain_std_error": 0.1,
        }
        for n in ("x", "response")
    ]
    curve = [
        {"learner": n, "targeted": at, "incremental": 1.0, "std_error": 1.0}
        for n in ("x", "response")
        for at in (0, 9)
    ]
    chart = {
        "qini": lambda: qini_plot(curve, "x", "visit", 0.3),
        "deciles": lambda: decile_plot(deciles, "x", "visit"),
        "policy": lambda: policy_plot(policy, "x", "visit", 0.3),
    }[name]()
    shown = json.loads(specification(chart))["title"]
    assert "±" in shown["text"]
    assert "± is one standard error" in " ".join(shown["subtitle"])
