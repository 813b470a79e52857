"""Let axe-core look for what keys and screen readers cannot use, on every page of the app in Chromium.

    python -m bench.axe --folder HOME --script axe.min.js [--experiment hillstrom]

``axe.min.js`` is in the npm package ``axe-core``, and in PyPI's ``axe-playwright-python``. Exit code 1:
a page has a serious or critical fault.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from bench.chromium import PATIENCE, Browser, browser
from bench.tour import PAGES, WIDTHS, Tour

SERIOUS = {"serious", "critical"}
RUN = """
window.faults = null;
axe.run(document, {resultTypes: ["violations"]}).then(found => {
  window.faults = JSON.stringify(
    found.violations.map(one => [one.id, one.impact, one.nodes.length, one.nodes[0].html.slice(0, 100)])
  );
});
"""


def faults(page: Browser, script: str) -> list[Any]:
    """Run axe on the page that is open; return each fault's name, weight, number and first place."""
    page.evaluate(script + RUN)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if answer := page.evaluate("window.faults"):
            return list(json.loads(answer))
        time.sleep(0.2)
    raise SystemExit("axe did not end")


def main() -> None:
    """Look at every page; wide and narrow, light and dark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--experiment", default="hillstrom")
    given = parser.parse_args()
    tour, script, serious = Tour.of(given.folder, given.experiment), given.script.read_text(), 0
    with tour.serving_api(), tour.serving_app(), browser() as page:
        for name, (path, last) in PAGES.items():
            for width in WIDTHS:
                for dark in (False, True):
                    page.look(width=width, height=1800, dark=dark)
                    page.open(tour.address(path, user=1, budget=30))
                    shown = page.shows(last)
                    theme = "dark" if dark else "light"
                    print(f"{name}, {width} px, {theme}{'' if shown else ': NOT SHOWN'}")
                    for fault in faults(page, script):
                        print("  ", *fault, flush=True)
                        serious += fault[1] in SERIOUS
                    serious += not shown
    print(f"{serious} serious faults")
    raise SystemExit(serious > 0)


if __name__ == "__main__":
    main()
