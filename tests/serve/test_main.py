"""The API as a process: Ctrl-C ends it without noise."""

from __future__ import annotations

import signal
from pathlib import Path

from bench.servers import api_on


def test_ctrl_c_ends_the_api_without_noise(simulated_home: Path, tmp_path: Path) -> None:
    log = tmp_path / "errors.log"
    with log.open("wb") as errors, api_on(simulated_home, log=errors) as (_, process):
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert log.read_text() == ""
