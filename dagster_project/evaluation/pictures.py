"""Draw Vega-Lite specifications of plots as pictures: SVG, and PNG in Markdown."""

from __future__ import annotations

import base64
import io
from functools import lru_cache

import vl_convert
from PIL import Image

PALETTE = 64  # colours of a PNG; with all of them it would be ten times as large


def svg(spec: str) -> str:
    """Draw a specification as SVG."""
    return str(vl_convert.vegalite_to_svg(vl_spec=spec))


def png_markdown(spec: str, title: str) -> str:
    """Draw a specification as Markdown that contains the image."""
    return f"![{title}](data:image/png;base64,{_png(spec)})"


@lru_cache(maxsize=128)  # several layers show the same plot
def _png(spec: str) -> str:
    """Draw a specification as a PNG with a palette, about 12 KB; returned in base64."""
    image = Image.open(io.BytesIO(vl_convert.vegalite_to_png(vl_spec=spec))).convert("RGB")
    png = io.BytesIO()
    image.quantize(PALETTE, dither=Image.Dither.NONE).save(png, "png", optimize=True)
    return base64.b64encode(png.getvalue()).decode()
