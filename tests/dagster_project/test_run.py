"""The main job's command: its output and its exit code."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console

from dagster_project import job_runs, main_job, run
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.main_job import read_summary
from dagster_project.resources import Engine, expected_errors
from dagster_project.training.registry import deciding_learner
from dagster_project.turns.home_turn import Worker, home_turn
from tests.support import SMALL, folder_of, opened, share_proof
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.evaluation.tables import NAMES


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """A separate home and data folder, without network."""
    monkeypatch.setenv(
        "DAGSTER_HOME", str(tmp_path)
    )  # so that the command's change of the environment is undone
    monkeypatch.setenv("UPLIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UPLIFT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("UPLIFT_DOWNLOAD", "false")
    monkeypatch.setenv("UPLIFT_THREADS", "1")


def test_an_unknown_experiment_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run.main(["nobody"])
    assert ended.value.code == 2
    assert "choose from" in (said := capsys.readouterr().err)
    assert "hillstrom" in said


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "hillstrom: no source file. Put"), (b"wrong", "is not the declared file")],
)
def test_a_run_that_stops_says_where_why_and_that_nothing_was_published(
    tmp_path, capsys: pytest.CaptureFixture[str], content: bytes | None, reason: str
) -> None:
    share_proof(tmp_path / "home")
    if content is not None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / folder_of("hillstrom").declaration.source.filename).write_bytes(content)
    assert run.main(["hillstrom"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "stopped at hillstrom__raw" in said
    assert reason in said
    assert "Nothing new was published; the published snapshot is unchanged." in said
    assert "Traceback" not in said
    assert not (tmp_path / "home" / "published").exists()


def test_the_summary_ranks_learners_and_marks_the_one_that_decides(
    home: Home, simulated: BatchExperiment
) -> None:
    summary = read_summary(home, simulated)
    assert len(summary.rows) == len(NAMES)
    with opened(home) as db:
        champion = deciding_learner(db, simulated, "treated")
    assert [row[0] for row in summary.rows if row[0].endswith(" *")] == [f"{NAMES[champion]} *"]
    values = [float(row[1].split()[0]) for row in summary.rows]
    assert values == sorted(values, reverse=True)
    assert "30% treated" in summary.title
    assert "held-out users" in summary.note
    with opened(home) as db:
        gate = db.one("select gate, gate_reason from models.registry where champion and is_current")
    assert summary.note.endswith("\nGate: {}. {}".format(*gate))


def test_a_run_ends_by_saying_where_the_file_is_with_whom_to_treat(
    home: Home, simulated: BatchExperiment, capsys: pytest.CaptureFixture[str]
) -> None:
    (date,) = (path.name for path in (home.exports / "simulated").iterdir())
    main_job._report(Console(width=80), Engine(home=str(home.root)), [simulated], date)
    lines = capsys.readouterr().out.splitlines()
    (place,) = [i for i, line in enumerate(lines) if "Whom to treat" in line]
    who = "1,500 of 5,000 simulated users get 'treated'; choosing them is not shown to pay off"
    assert lines[place].rstrip() == f"Whom to treat      simulated: {who}"
    assert len(Path(lines[place + 1].strip()).read_text().splitlines()) == 1 + 0.3 * SMALL


def test_one_experiment_that_stops_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []
    monkeypatch.setattr(
        job_runs, "_materialize", lambda *a: ran.append(a[1].experiment.name) or len(ran) > 1
    )
    monkeypatch.setattr(main_job, "_table", lambda *_: None)
    monkeypatch.setattr(main_job, "read_summary", lambda _, folder: folder.name)
    assert run.main(["hillstrom", "simulated"]) == 1
    assert ran == ["hillstrom", "simulated"]
    assert "stopped hillstrom; see above" in " ".join(capsys.readouterr().out.split())


def test_expected_errors_show_their_message_alone() -> None:
    with pytest.raises(dg.Failure) as caught, expected_errors():
        raise DataError("column 'visit' holds 2")
    assert caught.value.description == "column 'visit' holds 2"
    assert caught.value.allow_retries is False


def test_other_errors_keep_their_own_type() -> None:
    with pytest.raises(ZeroDivisionError), expected_errors():
        1 / 0  # noqa: B018


def test_a_run_that_may_not_wait_exits_with_75(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with home_turn(home, Worker.here("uplift_e", "0123456789"), print):
        assert run.main(["--no-wait", "simulated"]) == 75
    assert "because of uplift_e (run 01234567, process " in " ".join(capsys.readouterr().out.split())
