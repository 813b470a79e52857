"""Colours of charts, which people with any colour vision can distinguish, on light and on dark.

Marks have a contrast of at least 3 to both backgrounds, text of at least 4.5 (WCAG 2.2).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

# From Okabe and Ito, except for the grey. Their orange and yellow are too light for white.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#808080"
INK = {"light": "#141414", "dark": "#edebe8"}  # as textColor in .streamlit/config.toml
FILL = 0.2  # opacity of bands; their edges are drawn in the full colour


def text_config() -> dict[str, Any]:
    """Return Vega-Lite's configuration of text: Streamlit's default is too light on white."""
    theme = st.context.theme.type
    ink = INK["dark" if theme == "dark" else "light"]
    labels = {"labelColor": ink, "titleColor": ink}
    return {"axis": labels, "legend": labels, "text": {"color": ink}}
