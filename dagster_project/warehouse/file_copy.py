"""Copy a DuckDB file that this process has open."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from uplift_core.artifacts.files import written_aside
from uplift_core.errors import UpliftError


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all, while this process has it open and writes nothing.

    Another process copies: if this one opened and closed the file, the system would drop the lock that
    DuckDB has on it (``fcntl``).

    Raises:
        UpliftError: the copy cannot be written.
    """
    with written_aside(target) as aside:
        command = [shutil.which("cp") or "cp", "--", str(source), str(aside)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
        if done.returncode:
            raise UpliftError(f"{aside} cannot be written: {done.stderr.strip()}. Nothing was changed")
