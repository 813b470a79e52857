"""OpenLineage events: what a run reads and writes goes to a receiver, which never holds it up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.definitions import build_definitions
from dagster_project.instance import prepare_dagster_home
from dagster_project.resources import Engine
from tests.receiver import Call, json_server
from tests.support import small_simulation
from uplift_core.artifacts.home import Home
from uplift_core.errors import UpliftError


@contextmanager
def receiver(delay: float = 0.0) -> Iterator[tuple[str, list[Call]]]:
    """A receiver of events that answers after ``delay`` seconds, and what it was sent."""

    def answer(_: int) -> int:
        time.sleep(delay)
        return 201

    with json_server(answer) as (port, calls):
        yield f"http://127.0.0.1:{port}", calls


def materialize(home: Path, *layers: str) -> dg.ExecuteInProcessResult:
    """Materialize layers of the simulated experiment in the home's own instance."""
    experiment = small_simulation()
    engine = Engine(home=str(home), threads=1, download=False, memory_limit="1GB")
    job = build_definitions([experiment], engine).resolve_job_def("uplift_simulated")
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(Home(home)))) as instance:
        return job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["simulated", layer]) for layer in layers],
            partition_key=None,
        )


def test_events_name_inputs_outputs_and_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as (url, calls):
        monkeypatch.setenv("OPENLINEAGE_URL", url)
        assert materialize(tmp_path / "home", "raw", "features").success
    events = [call.body for call in calls]
    outputs = {
        (output["namespace"], output["name"]): output.get("facets", {})
        for event in events
        for output in event.get("outputs", [])
    }
    names = {name for _, name in outputs}
    assert any("simulated" in name and "features" in name for name in names), names
    (facets,) = [f for (_, name), f in outputs.items() if name.endswith("features")]
    fields = facets["columnLineage"]["fields"]
    assert fields, "each feature names the raw columns that it is made of"
    assert all(source["field"] for made in fields.values() for source in made["inputFields"])
    assert {event["eventType"] for event in events if "eventType" in event} >= {"START", "COMPLETE"}


def test_a_receiver_that_hangs_or_is_gone_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dagster_project.instance.LINEAGE_SECONDS", 0.05)
    with receiver(delay=0.15) as (url, events):
        monkeypatch.setenv("OPENLINEAGE_URL", url)
        assert materialize(tmp_path / "home", "raw").success
        assert events
    started = time.monotonic()
    assert materialize(tmp_path / "home", "raw").success, "nobody listens there any more"
    assert time.monotonic() - started < 40, "each event is tried once; five tries took 80 seconds"


def test_a_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", "http://lineage.example")
    monkeypatch.setattr("dagster_project.instance.find_spec", lambda _: None)
    with pytest.raises(UpliftError, match="install the extra 'lineage', or unset it"):
        prepare_dagster_home(Home(tmp_path / "home"))


def test_without_a_receiver_nothing_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
    folder = prepare_dagster_home(Home(tmp_path / "home"))
    assert "event_log_storage" not in (folder / "dagster.yaml").read_text()
