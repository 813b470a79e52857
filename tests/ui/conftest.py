from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.ui.support import FakeApi, fake_api


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """A fake API that the UI's environment points to."""
    with fake_api() as running:
        monkeypatch.setenv("UPLIFT_API_URL", running.url)
        yield running


@pytest.fixture
def closed_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nothing listens, and which the UI's environment points to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("UPLIFT_API_URL", url)
    return url
