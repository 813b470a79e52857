"""Commands are named as people can call them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from dagster_project.settings import REPOSITORY
from uplift_core.command_words import LIFT, RUN


def test_a_checkout_has_make_and_a_package_has_the_command(tmp_path: Path) -> None:
    assert (RUN, LIFT) == ("make run", "make rollback LIFT=1")
    shutil.copytree(REPOSITORY / "uplift_core", tmp_path / "uplift_core")
    code = "from uplift_core.command_words import LIFT, RUN; print(RUN, LIFT, sep='|')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "uplift run NAME|uplift rollback --lift"
