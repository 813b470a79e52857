"""``--help`` is answered before anything heavy is imported."""

from __future__ import annotations

import json
import subprocess
import sys

COMMANDS = (
    "dagster_project.run",
    "dagster_project.onboarding.new_experiment",
    "dagster_project.onboarding.check_experiment",
    "dagster_project.commands.backup",
    "dagster_project.commands.carry_ledger",
    "dagster_project.commands.doctor",
    "dagster_project.commands.erase",
    "dagster_project.commands.rollback",
    "dagster_project.commands.shell",
    "dagster_project.commands.suppress",
)
HEAVY = {"dagster", "great_expectations", "numpy", "pandas", "pyarrow", "scipy", "sqlglot", "xgboost"}
CALL = """
import importlib, json, sys
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    try:
        importlib.import_module(name).main()
    except SystemExit as end:
        assert not end.code
print(json.dumps(sorted(sys.modules)))
"""


def test_help_imports_nothing_heavy() -> None:
    call = [sys.executable, "-c", CALL, *COMMANDS]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    assert done.stdout.count("usage: ") == len(COMMANDS)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"argparse", *COMMANDS} <= loaded
    assert loaded & HEAVY == set()
