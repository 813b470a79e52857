"""Start the app, and the API first if none answers: ``python -m ui.launch``.

Both listen on this machine alone; ``STREAMLIT_SERVER_ADDRESS=0.0.0.0`` opens the app to others.
"""

from __future__ import annotations

import subprocess
import sys

import httpx

from ui.settings import Settings

PORT = "8501"


def main() -> int:
    """Run until the app is stopped. Returns its exit code."""
    url = Settings().api_url
    own = None
    if not _answers(url) and url == Settings.model_fields["api_url"].default:
        api = ["uvicorn", "serve.app:from_environment", "--factory", "--port", "8000"]
        own = subprocess.Popen([sys.executable, "-m", *api])  # noqa: S603 - a fixed command
    app = ["streamlit", "run", "ui/app.py", "--server.port", PORT, "--server.headless", "true"]
    try:
        return subprocess.run([sys.executable, "-m", *app], check=False).returncode  # noqa: S603
    finally:
        if own is not None:
            own.terminate()
            own.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main())
