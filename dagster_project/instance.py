"""The home of the Dagster instance, which stores runs and their logs."""

from __future__ import annotations

from pathlib import Path

from dagster_project.decisions.first_night import remember_first_night
from dagster_project.settings import Settings
from uplift_core.artifacts.files import replace_file
from uplift_core.artifacts.home import Home

TEMPLATE = Path(__file__).with_name("dagster.yaml")


def prepare_dagster_home(home: Home) -> Path:
    """Create ``UPLIFT_HOME/dagster`` with its settings; return its absolute path.

    From then on, the home remembers the first date of lists.
    """
    home.make_private()
    remember_first_night(home)
    folder = (home.root / "dagster").resolve()
    replace_file(folder / "dagster.yaml", TEMPLATE.read_bytes())
    return folder


if __name__ == "__main__":  # for the Makefile: prepare, and print the folder
    print(prepare_dagster_home(Home(Settings().home)))  # noqa: T201 - the command's output
