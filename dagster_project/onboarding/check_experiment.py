"""Tell all problems of an experiment at once, without a run: ``make check-experiment NAME=...``.

    python -m dagster_project.onboarding.check_experiment spring_mail

Nothing is trained and nothing is written.
"""

from __future__ import annotations

import argparse
import json
import sys

from uplift_core.errors import UpliftError


def main(arguments: list[str] | None = None) -> int:
    """Print the problems of an experiment; return the exit code: 1 if there are any."""
    parser = argparse.ArgumentParser(
        prog="uplift check", description="Tell all problems of an experiment, without a run."
    )
    parser.add_argument("name", help="the experiment's name: that of its folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    name = chosen.name
    # All that reads the file takes a second to import, so --help is answered first.
    from dagster_project.onboarding.problems import folder_of, problems_of  # noqa: PLC0415

    problems = problems_of(folder_of(name))
    if chosen.json:
        sys.stdout.write(json.dumps({"experiment": name, "problems": problems}) + "\n")
        return 1 if problems else 0
    for problem in problems:
        sys.stdout.write(f"- {problem}\n")
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}" if problems else "no problem"
    sys.stdout.write(f"{name}: {count} found\n")
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UpliftError as error:
        sys.exit(f"error: {error}")
