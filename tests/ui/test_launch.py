"""Who can reach the app."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ui

ROOT = Path(ui.__file__).parent.parent


@pytest.mark.parametrize(
    ("environment", "address"),
    [({}, "127.0.0.1"), ({"STREAMLIT_SERVER_ADDRESS": "192.0.2.1"}, "192.0.2.1")],
)
def test_the_app_listens_on_this_machine_alone_unless_told(
    environment: dict[str, str], address: str
) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "STREAMLIT_SERVER_ADDRESS"}
    said = subprocess.run(
        [sys.executable, "-m", "streamlit", "config", "show"],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.findall('^address = "(.*)"$', said.stdout, re.MULTILINE) == [address]
