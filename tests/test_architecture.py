"""Imports run downward only; the contracts are in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys

from dagster_project.settings import REPOSITORY

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def test_the_layers_hold() -> None:
    result = subprocess.run(
        [sys.executable, "-c", LINT], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout
