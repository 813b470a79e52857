"""Control headless Chromium by its DevTools protocol: open pages, wait for texts, take pictures."""

from __future__ import annotations

import base64
import io
import itertools
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from websockets.sync.client import ClientConnection, connect

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
CHROMIUM = Path("/usr/bin/chromium")
PATIENCE = 60.0  # seconds


class Browser:
    """One page of a browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send one command of the protocol and return its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._connection.recv(timeout=PATIENCE))
            if answer.get("id") == number:
                result: dict[str, Any] = answer.get("result", {})
                return result

    def evaluate(self, script: str) -> Any:
        """Run a script and return its value."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer.get("result", {}).get("value")

    def look(self, *, width: int, height: int, dark: bool) -> None:
        """Set the window's size and the reader's theme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[theme])

    def open(self, url: str) -> None:
        """Open an address."""
        self.call("Page.navigate", url=url)

    def shows(self, *texts: str) -> bool:
        """Wait until the page shows all texts and no script runs; false if patience ends first."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            seen = self.evaluate("document.body ? document.body.innerText : ''") or ""
            running = self.evaluate("!!document.querySelector('[data-testid=stStatusWidget]')")
            if all(text in seen for text in texts) and not running:
                return True
            time.sleep(0.02)
        return False

    def drawn(self) -> bool:
        """Wait until no element is still loading; false if patience ends first."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if not self.evaluate("!!document.querySelector('[data-testid=stSkeleton]')"):
                return True
            time.sleep(0.1)
        return False

    def press(self, selector: str, key: str, times: int) -> None:
        """Press a key on the element that a CSS selector matches."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        for kind in ("keyDown", "keyUp") * times:
            code = {"ArrowRight": 39, "ArrowLeft": 37}[key]
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def click(self, text: str) -> None:
        """Click the first button or link with this text."""
        has = f"e => e.innerText.includes({json.dumps(text)})"
        self.evaluate(f"[...document.querySelectorAll('button, a')].find({has}).click()")

    def picture(self, path: Path, *, colours: int = 0, width: int = 0) -> None:
        """Write the window's content as PNG; with a palette of ``colours``, or scaled to ``width``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        taken = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        image = Image.open(io.BytesIO(taken))
        if width:
            image = image.resize(
                (width, round(image.height * width / image.width)), Image.Resampling.LANCZOS
            )
        if colours:
            image = _with_palette(image.convert("RGB"), colours)
        image.save(path, optimize=True)


def _with_palette(image: Image.Image, colours: int) -> Image.Image:
    """Reduce the image to a palette; thin lines keep their colours, which a median cut would lose."""
    none = Image.Dither.NONE
    counts = image.getcolors(image.width * image.height) or []
    frequent = sorted(counts, key=lambda entry: entry[0], reverse=True)[: colours // 4]
    rare = colours - len(frequent)
    distinct = image.quantize(rare, Image.Quantize.MAXCOVERAGE, dither=none).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in frequent for part in colour] + distinct[: 3 * rare])
    return image.quantize(palette=palette, dither=none)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a Chromium on a free port, with a new profile.

    Raises:
        SystemExit: Chromium is not installed, or does not start.
    """
    if not CHROMIUM.exists():
        raise SystemExit(f"{CHROMIUM} is missing; install Debian's package chromium")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [f"--user-data-dir={profile}", f"--remote-debugging-port={port}", "about:blank"]
        with subprocess.Popen(  # noqa: S603 - a fixed command
            [CHROMIUM, *QUIET, *options], stderr=subprocess.DEVNULL
        ) as process:
            try:
                with connect(_page(port), max_size=None, proxy=None) as connection:
                    yield Browser(connection)
            finally:
                process.terminate()


def _page(port: int) -> str:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            pages = httpx.get(f"http://127.0.0.1:{port}/json", trust_env=False).json()
            return str(next(page for page in pages if page["type"] == "page")["webSocketDebuggerUrl"])
        except (httpx.TransportError, StopIteration):
            time.sleep(0.2)
    raise SystemExit("chromium does not start")
