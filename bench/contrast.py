"""Compute the contrast of colours by WCAG 2.2, and of all text that a page of the app shows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.chromium import Browser

TEXT, GRAPHICS = 4.5, 3.0  # the smallest accepted contrasts
Colour = tuple[float, float, float, float]  # red, green, blue from 0 to 255, opacity from 0 to 1

# A script that lists every text in the window: its words, its colour, the opacity of its elements, and
# the colours behind it, the nearest first.
SEEN = """(() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, words = node.textContent.trim();
    const seen = element.checkVisibility({opacityProperty: true, visibilityProperty: true});
    if (!words || !seen || element.closest('style, script, svg, canvas, noscript, [disabled]')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || box.bottom > innerHeight) continue;
    const grounds = [];
    let opacity = 1;
    for (let e = element; e; e = e.parentElement) {
      const style = getComputedStyle(e), ground = e.getBoundingClientRect();
      const x = box.left + box.width / 2, y = box.top + box.height / 2;
      const behind = ground.left <= x && x <= ground.right && ground.top <= y && y <= ground.bottom;
      if (behind) grounds.push(style.backgroundColor);
      opacity *= Number(style.opacity);
    }
    texts.push([words, getComputedStyle(element).color, opacity, grounds]);
  }
  return texts;
})()"""


def parse(colour: str) -> Colour:
    """Parse a style sheet's colour: ``#rrggbb``, ``rgb()``, ``rgba()`` or ``color(srgb ...)``."""
    if colour.startswith("#"):
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return red, green, blue, 1.0
    numbers = [float(part) for part in re.findall(r"[\d.]+(?:e-?\d+)?", colour.partition("(")[2])]
    if colour.startswith("color("):
        numbers[:3] = [255 * part for part in numbers[:3]]
    red, green, blue, *rest = numbers
    return red, green, blue, rest[0] if rest else 1.0


def over(colour: Colour, ground: Colour) -> Colour:
    """Return the visible colour where a translucent colour lies on an opaque one."""
    opacity = colour[3]
    red, green, blue = (
        opacity * c + (1 - opacity) * g for c, g in zip(colour[:3], ground, strict=False)
    )
    return red, green, blue, 1.0


def contrast(one: Colour, other: Colour) -> float:
    """Compute the contrast of two opaque colours: from 1 (the same) to 21 (black on white)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Colour) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB
        for c in (part / 255 for part in colour[:3])
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def pale_texts(page: Browser) -> list[str]:
    """List texts of the open page with a contrast below the accepted one, each with its contrast."""
    pale = {}
    for words, colour, opacity, grounds in page.evaluate(SEEN):
        ground = _ground(grounds)
        red, green, blue, alpha = parse(colour)
        ratio = contrast(over((red, green, blue, alpha * opacity), ground), ground)
        if alpha * opacity > 0 and ratio < TEXT:  # a transparent text is only a placeholder
            pale[f"{words[:60]} ({ratio:.2f})"] = None
    return list(pale)


def _ground(layers: Sequence[str]) -> Colour:
    """Return the opaque colour of several layers, the nearest first."""
    seen: Colour = (255.0, 255.0, 255.0, 1.0)
    for colour in reversed(layers):
        seen = over(parse(colour), seen)
    return seen
