"""Who can reach the app."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit import config

import ui
from ui import launch

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


def test_the_settings_are_flags_where_streamlit_finds_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMLIT_SERVER_ADDRESS", raising=False)
    assert "--server.address=127.0.0.1" in launch.flags()
    assert "--client.showErrorLinks=false" in launch.flags()
    assert launch.APP.is_file()
    monkeypatch.setenv("STREAMLIT_SERVER_ADDRESS", "192.0.2.1")
    monkeypatch.setenv("STREAMLIT_CLIENT_SHOW_ERROR_LINKS", "true")
    assert not [flag for flag in launch.flags() if "ddress=1" in flag or "ErrorLinks" in flag]


def test_streamlit_knows_every_setting() -> None:
    known = config.get_config_options()
    assert [flag for flag in launch.flags() if flag[2:].partition("=")[0] not in known] == []
