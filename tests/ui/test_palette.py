"""Colours can be told from their background (WCAG 2.2): what is drawn by 3 to 1, text by 4.5 to 1."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import altair as alt
import pandas as pd
import pytest

from bench.contrast import GRAPHICS, TEXT, contrast, over, parse
from dagster_project.settings import REPOSITORY
from ui import palette
from ui.charts import (
    calibration_chart,
    contributions_chart,
    counts_chart,
    decile_chart,
    qini_chart,
)
from ui.sweep_charts import incremental_chart, profit_chart, value_chart

THEMES = tomllib.loads((REPOSITORY / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
CAPTIONS = 0.6  # opacity that Streamlit gives to captions
MARKS = {"BLUE": palette.BLUE, "ORANGE": palette.ORANGE, "GREEN": palette.GREEN, "GREY": palette.GREY}
LIGHT_AND_DARK = pytest.mark.parametrize("theme", ["light", "dark"])


def contrast_of(colour: str, ground: str, opacity: float = 1.0) -> float:
    """Contrast of a colour, drawn with an opacity, to its background."""
    red, green, blue, _ = parse(colour)
    return contrast(over((red, green, blue, opacity), parse(ground)), parse(ground))


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast_of("#000000", "#ffffff") == pytest.approx(21)
    assert contrast_of("#777777", "#ffffff") == pytest.approx(
        4.478, abs=1e-3
    )  # known as just too light for text
    assert contrast_of("#ffffff", "#ffffff") == 1
    assert contrast_of("#000000", "#ffffff", 0.5) == pytest.approx(
        contrast_of("#808080", "#ffffff"), abs=0.05
    )


@LIGHT_AND_DARK
@pytest.mark.parametrize("name", MARKS)
def test_what_is_drawn_can_be_told_from_its_background(theme: str, name: str) -> None:
    assert contrast_of(MARKS[name], THEMES[theme]["backgroundColor"]) >= GRAPHICS


@LIGHT_AND_DARK
def test_text_can_be_read(theme: str) -> None:
    colours = THEMES[theme]
    assert palette.INK[theme] == colours["textColor"]
    for ground in (colours, colours["sidebar"]):
        assert contrast_of(colours["textColor"], ground["backgroundColor"]) >= TEXT
        assert contrast_of(colours["textColor"], ground["secondaryBackgroundColor"]) >= TEXT
        assert contrast_of(colours["textColor"], ground["backgroundColor"], CAPTIONS) >= TEXT
    assert contrast_of(colours["primaryColor"], colours["backgroundColor"]) >= TEXT


def charts() -> dict[str, alt.LayerChart]:
    """Every chart of the app, of made-up figures."""
    sweep = pd.DataFrame(
        {"budget": [0.3, 1.0], "value": [0.1, 0.2], "random": [0.1, 0.2], "response": [0.1, 0.2],
         "value_ci_low": [0.0, 0.1], "value_ci_high": [0.2, 0.3], "gain_ci_low": [0.1, 0.1],
         "gain_ci_high": [0.2, 0.2], "outcomes": [10.0, 20.0], "outcomes_error": [1.0, 2.0],
         "profit": [10.0, 5.0], "profit_error": [1.0, 2.0], "behind": [0.0, 5.0],
         "behind_error": [0.0, 1.0]}
    )  # fmt: skip
    curve = pd.DataFrame(
        {"learner": ["s", "s", "response", "response"], "targeted": [0.0, 9.0] * 2,
         "incremental": [0.0, 9.0] * 2, "std_error": [0.0, 1.0] * 2}
    )  # fmt: skip
    deciles = pd.DataFrame({"decile": range(1, 11), "uplift": [0.1] * 10, "std_error": [0.01] * 10})
    groups = pd.DataFrame({"predicted": [0.1], "effect": [0.1], "ci_low": [0.0], "ci_high": [0.2]})
    parts = [{"feature": f, "value": 1.0, "contribution": c} for f, c in (("a", 0.1), ("b", -0.1))]
    counts = pd.DataFrame({"decision": ["treat"], "users": [1], "treated": [1]})
    return {
        "value": value_chart(sweep, 0.3, "visit", binary=True),
        "incremental": incremental_chart(sweep, 0.3, "visit", binary=True),
        "profit": profit_chart(sweep, sweep.iloc[1], sweep.iloc[0]),
        "qini": qini_chart(curve, "s", {"ci_low": 0.1, "ci_high": 0.2}),
        "deciles": decile_chart(deciles, binary=True),
        "calibration": calibration_chart(groups, binary=True),
        "contributions": contributions_chart(
            {"base": 0.1, "score": 0.1, "contributions": parts}, binary=True
        ),
        "counts": counts_chart(counts),
    }


def marks(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All marks of a chart's specification."""
    for layer in part.get("layer", []):
        yield from marks(layer)
    if "mark" in part:
        yield part


@pytest.mark.parametrize("name", charts())
def test_every_mark_has_a_colour_of_the_palette_at_its_full_strength(name: str) -> None:
    drawn = list(marks(charts()[name].to_dict()))
    assert drawn
    for part in drawn:
        mark, scale = part["mark"], part["encoding"].get("color", {}).get("scale", {})
        if mark["type"] == "text":
            assert "color" not in mark  # that of the theme's text, see text_config
            continue
        if mark.get("opacity") == 0:
            continue  # only holds a tooltip
        assert {mark.get("color"), *scale.get("range", [])} - {None} <= set(MARKS.values())
        assert mark.get("color") or scale
        if mark["type"] in {"point", "bar"}:  # Vega-Lite's colours is less than 1
            assert mark["opacity"] == 1
        elif mark["type"] != "area":
            assert mark.get("opacity", 1) == 1


@pytest.mark.parametrize("name", charts())
def test_bands_have_edges(name: str) -> None:
    """A translucent area alone is too light to be told from its background."""
    drawn = list(marks(charts()[name].to_dict()))
    for area in (part for part in drawn if part["mark"]["type"] == "area"):
        ends = {area["encoding"]["y"]["field"], area["encoding"]["y2"]["field"]}
        lines = {
            part["encoding"]["y"]["field"]
            for part in drawn
            if part["mark"]["type"] == "line" and part["mark"].get("color") == area["mark"]["color"]
        }
        assert ends <= lines


@LIGHT_AND_DARK
def test_text_of_charts_has_the_colour_of_text(theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Context:
        class theme:  # noqa: N801 - as Streamlit calls it
            type = theme

    Context.theme.type = theme
    monkeypatch.setattr(palette.st, "context", Context)
    config = palette.text_config()
    ink = THEMES[theme]["textColor"]
    assert config["text"]["color"] == ink
    for part in ("axis", "legend"):
        assert config[part] == {"labelColor": ink, "titleColor": ink}
