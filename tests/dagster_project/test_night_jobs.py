"""``uplift list`` and ``uplift measure``: a list from the current scores, and what it did."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from dagster_project import night_jobs
from dagster_project.commands import make_list, measure_lists
from dagster_project.decisions.first_night import remember_first_night
from tests.support import SMALL, small_simulation, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer
from uplift_core.errors import ExperimentError
from uplift_core.experiment.arrivals import Arrivals


@pytest.fixture
def home(tmp_path: Path, simulated_home: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with scores of the simulated experiment."""
    shutil.copytree(simulated_home, tmp_path / "home")
    home = Home(tmp_path / "home")
    remember_first_night(home)
    monkeypatch.setenv("UPLIFT_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", "")  # so that the command's change of it is undone
    monkeypatch.setenv("UPLIFT_THREADS", "1")
    return home


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def published(home: Home, query: str) -> list[tuple[object, ...]]:
    file = home.published / read_pointer(home.published).file
    with duckdb.connect(str(file), read_only=True) as con:
        return con.execute(query).fetchall()


def test_a_list_is_decided_exported_published_and_then_measured(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_list.main(["simulated", "--users", "700", "--campaign", "spring", "--json"]) == 0
    said = capsys.readouterr()
    night = json.loads(said.out)  # the steps are on standard error
    assert "treat_list" in said.err
    assert (night["campaign"], night["treated"], night["users"]) == ("spring", 700, SMALL)
    assert (night["decision_date"], night["budget_kind"]) == (today(), "users")
    (file,) = night["files"]
    assert len(Path(file).read_text().splitlines()) == 1 + 700

    outcomes = tmp_path / "outcomes.csv"
    with duckdb.connect() as con:
        query = (
            "copy (select user_id, user_id % 2 as converted from range(1, 5001) as users (user_id)) to ?"
        )
        con.execute(query, [str(outcomes)])
    arguments = ["simulated", str(outcomes), "--date", today()]
    assert measure_lists.main([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(row["campaign"], row["comparison"]) for row in rows} == {
        (campaign, comparison)
        for campaign in ("spring", "treated")
        for comparison in ("list", "explore")
    }
    ((uplift,),) = published(
        home, "select uplift from decisions.realised where campaign = 'spring' and comparison = 'list'"
    )
    assert uplift in {row["uplift"] for row in rows}

    assert measure_lists.main(arguments) == 0
    said = capsys.readouterr()
    assert f"spring, converted, {night['treated'] - night['explored']} users treated" in said.out
    assert f"{uplift:+.5f} ± " in said.out


def test_a_list_says_whom_it_treats_and_what_it_promises(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_list.main(["simulated", "--budget", "0.2"]) == 0
    said = capsys.readouterr().out
    assert f"1,000 of 5,000 users get 'treated' on {today()} (campaign 'treated')" in said
    ((promised, error),) = published(home, "select promised, promised_std_error from decisions.nights")
    assert f"{promised:+.5f} ± {error:.5f} converted per user treated for their score" in said


def test_a_refused_list_leaves_what_is_published(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_pointer(home.published)
    assert make_list.main(["simulated", "--arm", "nobody"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "stopped at simulated__treat_list: simulated: 'nobody' is no treatment arm" in said
    assert read_pointer(home.published) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["criteo"], "criteo has no scores yet; uplift run criteo makes them"),
        (["simulated", "--date", "2020-01-31"], "--date 2020-01-31: lists bear dates from"),
    ],
)
@pytest.mark.usefixtures("home")
def test_a_list_that_cannot_be_is_refused_before_a_run(arguments: list[str], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        make_list.main(arguments)


@pytest.mark.usefixtures("home")
def test_a_file_of_outcomes_must_exist(tmp_path: Path) -> None:
    arguments = ["simulated", str(tmp_path / "none.csv"), "--date", today()]
    with pytest.raises(ExperimentError, match=r"none\.csv: no such file"):
        measure_lists.main(arguments)


@pytest.mark.parametrize(
    "arguments", [["simulated", "--budget", "0.2", "--users", "4"], ["simulated", "--date", "today"]]
)
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        make_list.main(arguments)
    assert ended.value.code == 2


def test_what_arrived_is_measured_without_naming_a_file(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExperimentError, match=r"declares no files of outcomes; declare \[arrivals\]"):
        measure_lists.main(["simulated"])
    arrivals = Arrivals(path=tmp_path / "outcomes-*.csv", within_days={"converted": 7})
    experiment = with_experiment(small_simulation(), arrivals=arrivals)
    monkeypatch.setattr(night_jobs, "experiment_folders", lambda _: [experiment])
    rows = "".join(f"{user},{today()} 06:00:00,{user % 2}\n" for user in range(1, SMALL + 1))
    (tmp_path / "outcomes-1.csv").write_text(f"user_id,moment,converted\n{rows}")
    assert measure_lists.main(["simulated", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["comparison"], row["provisional"]) for row in told] == [
        ("explore", True),
        ("list", True),
    ]
    assert measure_lists.main(["simulated"]) == 0
    assert "provisional: the window of outcomes has not closed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["outcomes.csv"], ["--date", "2026-01-01"], ["--absent-is-zero"]], ids=str
)
def test_a_file_and_a_date_go_together(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        measure_lists.main(["simulated", *arguments])
    assert stopped.value.code == 2
    assert "go together" in capsys.readouterr().err or "--absent-is-zero" in arguments
