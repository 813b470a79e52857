"""Visit the app in headless Chromium, with the real API; check, time and picture the pages.

    python -m bench.tour --folder HOME --pictures FOLDER [--experiment hillstrom]

It needs Debian's chromium, and a home where the experiment is published. A user is scored, the budget is
moved by the keyboard, and a shared address is opened: each time the page must show the threshold and the
decision that the API gives. Then the API stops, and the page must say so; then the API starts again.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import httpx

from bench.chromium import Browser, browser
from bench.contrast import pale_texts
from bench.servers import serving

PAGES = {  # page -> its path, and the text that it shows last
    "score": ("", "snapshot 2"),
    "sweep": ("sweep", "Download as CSV"),
    "who": ("who", "What the features are"),
    "evidence": ("evidence", "claims hold"),
    "lists": ("lists", "Nights"),
    "realised": ("realised", "No list has been measured"),
    "model": ("model", "decides"),
}
TITLES = {
    "sweep": "Budget sweep",
    "who": "Who",
    "evidence": "Evidence",
    "lists": "Tonight's list",
    "realised": "Realised",
    "model": "Model",
    "score": "Score a user",
}
WIDTHS = (1440, 800)
SLIDER = "[data-testid=stSlider] input"


@dataclass
class Tour:
    """A visit: the ports of the servers, the results of checks, and seconds."""

    home: Path
    experiment: str
    api: int
    app: int
    checks: dict[str, bool] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, home: Path, experiment: str) -> Tour:
        """Create a tour on free ports."""
        with socket.socket() as one, socket.socket() as other:
            for each in (one, other):
                each.bind(("127.0.0.1", 0))
            return cls(home, experiment, one.getsockname()[1], other.getsockname()[1])

    def address(self, path: str = "", **query: object) -> str:
        """Return the address of a page of the app."""
        parameters = "&".join(f"{key}={value}" for key, value in query.items())
        return f"http://127.0.0.1:{self.app}/{path}?experiment={self.experiment}&{parameters}"

    @contextmanager
    def serving_api(self) -> Iterator[None]:
        """Start the real API."""
        port = str(self.api)
        command = ["uvicorn", "serve.app:from_environment", "--factory", "--port", port]
        ready = f"http://127.0.0.1:{port}/readyz"
        with serving(command, ready, UPLIFT_HOME=str(self.home)):
            yield

    @contextmanager
    def serving_app(self) -> Iterator[None]:
        """Start the app, which calls that API."""
        options = ["--server.port", str(self.app), "--server.headless", "true"]
        command = ["streamlit", "run", "ui/app.py", *options, "--browser.gatherUsageStats", "false"]
        ready = f"http://127.0.0.1:{self.app}/_stcore/health"
        with serving(command, ready, UPLIFT_API_URL=f"http://127.0.0.1:{self.api}"):
            yield

    def texts_of(self, user: int, budget: int) -> tuple[str, ...]:
        """Return the texts that the page must show of a user, according to the API."""
        body = {"experiment": self.experiment, "user_id": user, "budget": budget / 100}
        answer = httpx.post(f"http://127.0.0.1:{self.api}/score", json=body, trust_env=False).json()
        verdict = "Treat" if answer["decision"] == "treat" else "Don't treat"
        figures = (f"{100 * answer[name]:+.2f} pp" for name in ("threshold", "score"))
        return f"{verdict} at a budget of {budget} %", *(
            f.replace("-", "\N{MINUS SIGN}") for f in figures
        )

    def role(self, user: int) -> str:
        """Return a user's role in the nightly list, according to the API."""
        body = {"experiment": self.experiment, "user_id": user}
        answer = httpx.post(f"http://127.0.0.1:{self.api}/score", json=body, trust_env=False).json()
        return str(answer["role"])

    def user_between_budgets(self, least: int, most: int) -> int:
        """Return the first user who is treated at the larger budget and not at the smaller one.

        Only ranked users are considered: the page shows other texts about held-out users.
        """
        for user in range(1, 1000):
            if (
                self.role(user) == "ranked"
                and self.texts_of(user, least)[0][0] != self.texts_of(user, most)[0][0]
            ):
                return user
        raise SystemExit("no user is treated at one budget only")


def _points(value: float) -> str:
    return f"{100 * value:+.2f} pp".replace("-", "\N{MINUS SIGN}")


def walk(tour: Tour, page: Browser) -> None:
    """Score a user, move the budget, share the address, stop the API and start it again."""
    with tour.serving_api():
        user = tour.user_between_budgets(5, 65)
        page.look(width=1440, height=1400, dark=False)
        page.open(tour.address(user=user, budget=5))
        tour.checks["a user is scored"] = page.shows(*tour.texts_of(user, 5))
        page.press(SLIDER, "ArrowRight", 60)
        tour.checks["the budget is moved, and with it the decision"] = page.shows(
            *tour.texts_of(user, 65)
        )
        began = time.monotonic()
        page.press(SLIDER, "ArrowRight", 1)
        page.shows(*tour.texts_of(user, 66))
        tour.seconds["the budget moved by 1 %"] = time.monotonic() - began
        for name, title in TITLES.items():
            began = time.monotonic()
            page.click(title)
            if not page.shows(title, PAGES[name][1]):
                raise SystemExit(f"{name} does not open")
            tour.seconds[f"a click on {title}"] = time.monotonic() - began
        page.open(tour.address(user=user, budget=30))
        tour.checks["an address is shared"] = page.shows(*tour.texts_of(user, 30))
    page.press(SLIDER, "ArrowRight", 1)
    tour.checks["a dead API is reported"] = page.shows("The API does not answer", "make serve")
    with tour.serving_api():
        page.click("Try again")
        tour.checks["it recovers"] = page.shows("Score a user", "Uplift", "Threshold")


def look_for_pale_texts(tour: Tour, page: Browser) -> None:
    """Check on every page, light and dark, that text has enough contrast to be read."""
    with tour.serving_api():
        for name, dark in product(PAGES, (False, True)):
            # The window is so high that it shows the whole page.
            show(tour, page, name, width=1440, height=6000, dark=dark)
            for text in pale_texts(page):
                tour.checks[f"{name}, {'dark' if dark else 'light'}: can be read: {text}"] = False
    tour.checks.setdefault(
        "all text can be read", not any("can be read" in check for check in tour.checks)
    )


def take_pictures(tour: Tour, page: Browser, folder: Path) -> None:
    """Take pictures of every page, wide and narrow, light and dark."""
    with tour.serving_api():
        for name, width, dark in product(PAGES, WIDTHS, (False, True)):
            show(tour, page, name, width=width, height=1400, dark=dark)
            page.picture(folder / f"{name}-{width}-{'dark' if dark else 'light'}.png")


def picture_for_readme(tour: Tour, page: Browser, folder: Path) -> None:
    """Take two small pictures: a user's score and the budget sweep."""
    with tour.serving_api():
        user = tour.user_between_budgets(5, 30)
        for name, height in (("score", 1150), ("sweep", 1320)):
            show(tour, page, name, width=1400, height=height, dark=False, user=user)
            page.picture(folder / f"{name}.png", colours=128, width=800)


def show(  # noqa: PLR0913 - a page, a window, a user
    tour: Tour, page: Browser, name: str, *, width: int, height: int, dark: bool, user: int = 1
) -> None:
    """Open a page of the app and wait until its charts are drawn."""
    path, text = PAGES[name]
    page.look(width=width, height=height, dark=dark)
    page.open(tour.address(path, user=user, budget=30))
    if not page.shows(text) or not page.drawn():
        raise SystemExit(f"{name} does not open")
    time.sleep(1)  # charts are drawn a little after their elements exist


def main() -> int:
    """Take the tour and print its results. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="the home")
    parser.add_argument("--experiment", default="hillstrom")
    parser.add_argument("--pictures", type=Path, help="where pictures of all pages go")
    parser.add_argument("--readme", type=Path, help="where the README's pictures go; nothing else then")
    chosen = parser.parse_args()
    tour = Tour.of(chosen.folder, chosen.experiment)
    with tour.serving_app(), browser() as page:
        if chosen.readme:
            picture_for_readme(tour, page, chosen.readme)
            return 0
        walk(tour, page)
        look_for_pale_texts(tour, page)
        if chosen.pictures:
            take_pictures(tour, page, chosen.pictures)
    for check, passed in tour.checks.items():
        print(f"{'yes' if passed else 'NO '}  {check}")
    for what, seconds in tour.seconds.items():
        print(f"{seconds:5.2f} s  {what}")
    return int(not all(tour.checks.values()))


if __name__ == "__main__":
    sys.exit(main())
