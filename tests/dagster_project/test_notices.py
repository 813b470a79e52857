"""Who is told what of runs: of failures, of recoveries, of lists, and never of users."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from unittest import mock

import dagster as dg
import pytest

from dagster_project import notices as notices_module
from dagster_project.commands import notify
from dagster_project.decisions.gates import GateError
from dagster_project.decisions.published_lists import newest_dates
from dagster_project.decisions.records import ListKey
from dagster_project.notices import SEE, RunNotices, late_lists, run_sensors
from dagster_project.resources import expected_errors
from dagster_project.settings import Settings
from tests.receiver import Receiver, receiver
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.notices import Notices
from uplift_core.errors import DataError, UpliftError

NIGHT = "2026-01-02"
NIGHTS = dg.DailyPartitionsDefinition("2026-01-01")


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def night(
    tmp_path: Path, there: Receiver, error: Exception | None = None, *, warns: bool = False
) -> None:
    """One night of the experiment ``shop``, and what is told of it."""
    key = dg.AssetKey(["shop", "treat_list"])

    @dg.asset(key=key, partitions_def=NIGHTS)
    def treat_list() -> None:
        with expected_errors():
            if error:
                raise error

    @dg.asset_check(asset=key)
    def stable() -> dg.AssetCheckResult:
        warn = dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(passed=not warns, severity=warn, description="user K-17 is odd")

    @dg.asset(key=["shop", "published"], deps=[key], partitions_def=NIGHTS)
    def published() -> None:
        pass

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [treat_list, stable, published], instance=instance, partition_key=NIGHT, raise_on_error=False
        )
        link = "https://dagster.example"
        RunNotices(Notices(Home(tmp_path), there.address), link).tell(instance, result.run_id)
    assert result.success is (error is None)


def test_a_night_that_fails_fails_again_and_recovers_is_told_twice(
    tmp_path: Path, there: Receiver
) -> None:
    refused = GateError(
        "shop/call of 2026-01-02 is not written: nobody should be treated",
        ListKey("shop", "call", NIGHT),
        [],
    )
    night(tmp_path, there, refused)
    night(tmp_path, there, refused)
    assert there.until(1) == ["uplift: the run of shop stopped at treat_list"]
    (text,) = there.texts
    assert text.startswith(str(refused))
    assert "what was published before stays" in text
    assert "https://dagster.example/runs/" in text
    night(tmp_path, there)
    assert {*there.until(3)[1:]} == {
        "uplift: the run of shop works again",
        f"uplift: shop's lists of {NIGHT} are published",
    }
    night(tmp_path, there)
    assert len(there.until(3)) == 3


def test_messages_hold_no_data_of_users(tmp_path: Path, there: Receiver) -> None:
    night(tmp_path, there, DataError("customer_id = 'K-17' is there twice"))
    night(tmp_path, there, warns=True)
    assert "uplift: shop/treat_list, check stable warns" in there.until(4)
    assert not [text for text in (*there.titles, *there.texts) if "K-17" in text]
    assert SEE in there.texts[0]


def test_a_check_that_passes_again_is_told(tmp_path: Path, there: Receiver) -> None:
    for warns in (True, True, False, False):
        night(tmp_path, there, warns=warns)
    assert sorted(title for title in there.until(3) if "check" in title) == [
        "uplift: shop/treat_list, check stable passes again",
        "uplift: shop/treat_list, check stable warns",
    ]


def test_sensors_tell_of_the_daemons_runs_if_there_is_a_receiver(tmp_path: Path) -> None:
    assert run_sensors(RunNotices(Notices(Home(tmp_path), ""))) == []
    sensors = run_sensors(RunNotices(Notices(Home(tmp_path), "json://localhost")))
    assert [sensor.name for sensor in sensors] == ["tell_of_stopped_runs", "tell_of_finished_runs"]
    assert all(s.default_status == dg.DefaultSensorStatus.RUNNING for s in sensors)


def test_a_test_message_says_who_took_it(
    there: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPLIFT_NOTIFY", f"{there.address} nonsense://secret-4711")
    assert notify.main([]) == 1
    printed = capsys.readouterr().out
    assert "nonsense: did not take the message" in printed
    assert "sent to 1 of 2 receivers" in printed
    assert "secret" not in printed + repr(Settings())
    monkeypatch.delenv("UPLIFT_NOTIFY")
    with pytest.raises(UpliftError, match="UPLIFT_NOTIFY names no receiver"):
        notify.main([])


def test_lists_that_are_due_are_late_until_they_are_published(
    simulated_home: Path, tmp_path: Path
) -> None:
    newest = newest_dates(Home(simulated_home))
    assert [*newest] == ["simulated"]
    tomorrow = datetime.combine(newest["simulated"] + timedelta(days=1), time(6, 30), UTC)
    assert not [*late_lists(newest, time(7), tomorrow)]
    assert not [*late_lists(newest, time(6), tomorrow - timedelta(days=1))]
    (late,) = late_lists(newest, time(6), tomorrow)
    assert late.title == f"uplift: simulated's lists of {tomorrow.date()} are late"
    assert f"the newest are of {newest['simulated']}" in late.text
    assert newest_dates(Home(tmp_path)) == {}


def test_late_lists_are_told_once(simulated_home: Path, tmp_path: Path, there: Receiver) -> None:
    notices = RunNotices(Notices(Home(tmp_path), there.address), due=time(0))
    sensor = run_sensors(notices)[-1]
    assert sensor.name == "tell_of_late_lists"
    (tmp_path / "published").symlink_to(simulated_home / "published")
    with mock.patch.object(notices_module, "datetime", wraps=datetime) as clock:
        clock.now.return_value = datetime.now(UTC) + timedelta(days=2)
        for _ in range(2):
            skipped = sensor(dg.build_sensor_context())
            assert skipped.skip_message == "1 experiments have no list of today"
    (title,) = there.until(1)
    assert title.startswith("uplift: simulated's lists of ")
