"""The home of the Dagster instance, which stores runs and their logs."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

from dagster_project.decisions.first_night import remember_first_night
from dagster_project.settings import Settings
from uplift_core.artifacts.files import replace_file
from uplift_core.artifacts.home import Home
from uplift_core.errors import UpliftError

TEMPLATE = Path(__file__).with_name("dagster.yaml")
LINEAGE = "OPENLINEAGE_URL"  # the receiver of OpenLineage events; the client reads it, too
LINEAGE_PACKAGE = "dagster_openlineage"
LINEAGE_EVENTS = "dagster_project.reporting.lineage_events"
LINEAGE_SECONDS = 0.5  # that a run waits for the receiver of one event


def prepare_dagster_home(home: Home) -> Path:
    """Create ``UPLIFT_HOME/dagster`` with its settings; return its absolute path.

    From then on, the home remembers the first date of lists.

    Raises:
        UpliftError: ``OPENLINEAGE_URL`` is set, and the package that sends the events is missing.
    """
    home.make_private()
    remember_first_night(home)
    folder = (home.root / "dagster").resolve()
    settings = TEMPLATE.read_bytes()
    if os.environ.get(LINEAGE):
        settings += _told_of_lineage(folder).encode()
    replace_file(folder / "dagster.yaml", settings)
    return folder


def _told_of_lineage(folder: Path) -> str:
    """Return the setting by which Dagster's events go to the receiver after they are stored.

    What the receiver does not take in time is lost, and the run goes on.
    """
    if find_spec(LINEAGE_PACKAGE) is None:
        raise UpliftError(
            f"{LINEAGE} needs the package dagster-openlineage; install the extra 'lineage', or unset it"
        )
    stored = {
        "module": "dagster._core.storage.event_log",
        "class": "SqliteEventLogStorage",
        "config": {"base_dir": str(folder / "history" / "runs")},
    }
    sent = {"wrapped": stored, "namespace": "uplift", "timeout": LINEAGE_SECONDS}
    storage = {"module": LINEAGE_EVENTS, "class": "LineageEvents", "config": sent}
    return f"event_log_storage: {json.dumps(storage)}\n"  # YAML holds JSON


if __name__ == "__main__":  # for the Makefile: prepare, and print the folder
    print(prepare_dagster_home(Home(Settings().home)))  # noqa: T201 - the command's output
