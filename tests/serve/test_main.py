"""The API as a process: it starts fast, and Ctrl-C ends it without noise."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from bench.servers import api_on


def test_ctrl_c_ends_the_api_without_noise(simulated_home: Path, tmp_path: Path) -> None:
    log = tmp_path / "errors.log"
    with log.open("wb") as errors, api_on(simulated_home, log=errors) as (_, process):
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert log.read_text() == ""


def test_the_api_starts_without_the_libraries_that_are_slow_to_import() -> None:
    """``make bench-start`` has the seconds: without these it is 1.6 s, with them more than two."""
    slow = {"sklearn", "pandas", "scipy.stats", "matplotlib", "dagster"}
    start = "from serve.__main__ import application; application()"
    script = f"import sys; {start}; print({slow} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
