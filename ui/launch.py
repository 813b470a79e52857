"""Start the app, and before it the API if none answers: ``python -m ui.launch``.

Both listen on this machine only; ``STREAMLIT_SERVER_ADDRESS=0.0.0.0`` opens the app to others.
"""

from __future__ import annotations

import subprocess
import sys

import httpx

from ui.settings import Settings

PORT = "8501"


def main() -> int:
    """Run until the app stops; return its exit code."""
    url = Settings().api_url
    api_process = None
    if not _is_running(url) and url == Settings.model_fields["api_url"].default:
        api = ["uvicorn", "serve.app:from_environment", "--factory", "--port", "8000"]
        api_process = subprocess.Popen([sys.executable, "-m", *api])  # noqa: S603 - a fixed command
    app = ["streamlit", "run", "ui/app.py", "--server.port", PORT, "--server.headless", "true"]
    try:
        return subprocess.run([sys.executable, "-m", *app], check=False).returncode  # noqa: S603
    finally:
        if api_process is not None:
            api_process.terminate()
            api_process.wait()


def _is_running(url: str) -> bool:
    """Whether an API answers at ``url``."""
    try:
        return httpx.get(f"{url}/healthz", timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main())
