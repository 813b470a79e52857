"""Start the app, and before it the API if none answers: ``python -m ui.launch [PORT]``.

Both listen on this machine only; ``STREAMLIT_SERVER_ADDRESS=0.0.0.0`` opens the app to others.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from ui.settings import Settings

PORT = "8501"
PACKAGED = Path(__file__).with_name("streamlit.toml")  # in the wheel; a checkout has it at its top
SETTINGS = PACKAGED if PACKAGED.is_file() else PACKAGED.parents[1] / ".streamlit" / "config.toml"
APP = Path(__file__).with_name("app.py")


def main(port: str = PORT) -> int:
    """Run until the app stops; return its exit code."""
    url = Settings().api_url
    api_process = None
    if not _is_running(url) and url == Settings.model_fields["api_url"].default:
        api = ["serve", "--port", "8000"]
        api_process = subprocess.Popen([sys.executable, "-m", *api])  # noqa: S603 - a fixed command
    app = ["streamlit", "run", str(APP), "--server.port", port, "--server.headless", "true", *flags()]
    try:
        return subprocess.run([sys.executable, "-m", *app], check=False).returncode  # noqa: S603
    finally:
        if api_process is not None:
            api_process.terminate()
            api_process.wait()


def flags() -> list[str]:
    """Return the app's settings as flags; Streamlit finds a file of settings in a checkout only.

    A setting that the environment has is left out, since flags would override it.
    """
    settings = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))
    return [
        f"--{name}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in _flat(settings)
        if re.sub(r"(?<=[a-z])(?=[A-Z])|\.", "_", f"streamlit.{name}").upper() not in os.environ
    ]


def _flat(settings: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _is_running(url: str) -> bool:
    """Whether an API answers at ``url``."""
    try:
        return httpx.get(f"{url}/healthz", timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
