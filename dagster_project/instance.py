"""The home of the Dagster instance, where runs and their logs are kept."""

from __future__ import annotations

from pathlib import Path

from dagster_project.decisions.first_night import remember_first_night
from dagster_project.settings import Settings
from uplift_core.artifacts.files import replace_file
from uplift_core.artifacts.home import Home

TEMPLATE = Path(__file__).with_name("dagster.yaml")


def prepare_dagster_home(home: Home) -> Path:
    """Make ``UPLIFT_HOME/dagster`` with its settings; returns it, absolute.

    From now on the home remembers the first date that lists can be made for.
    """
    remember_first_night(home)
    folder = (home.root / "dagster").resolve()
    replace_file(folder / "dagster.yaml", TEMPLATE.read_bytes())
    return folder


if __name__ == "__main__":  # for the Makefile: prepare, and print the folder
    print(prepare_dagster_home(Home(Settings().home)))  # noqa: T201 - the command's output
