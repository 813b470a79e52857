"""The command ``uplift``: every command is there, and an installed package needs no checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow.csv as pc
import pytest
from click.testing import CliRunner

from dagster_project.commands import doctor
from dagster_project.commands.cli import COMMANDS, uplift
from dagster_project.commands.project_folder import FILES, create_project
from dagster_project.settings import REPOSITORY, SQL_FOLDER
from dagster_project.turns.home_turn import Worker, home_turn
from tests.e2e.own_experiments import offers
from tests.support import ID_KEY, share_proof
from uplift_core.errors import UpliftError

PACKAGES = ("dagster_project", "serve", "ui", "uplift_core")
METADATA = ("pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel, as in site-packages, that nobody may write."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_two_wheels_built_in_two_places_are_equal(tmp_path: Path) -> None:
    wheels = []
    for place, mask in (("here", 0o022), ("there/deeper", 0o077)):
        copy = tmp_path / place
        for name in (*PACKAGES, "sql", ".streamlit", *METADATA):
            source = REPOSITORY / name
            for path in source.rglob("*") if source.is_dir() else [source]:
                target = copy / path.relative_to(REPOSITORY)
                if path.is_file() and "__pycache__" not in path.parts:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
                    target.chmod(0o666 & ~mask)
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(copy / "out")]
        dated = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
        subprocess.run(build, cwd=copy, env=dated, check=True, capture_output=True)
        (wheel,) = (copy / "out").glob("*.whl")
        wheels.append(wheel.read_bytes())
    assert wheels[0] == wheels[1]


def environment_of(installed: Path) -> dict[str, str]:
    """The environment of an installed package, with nothing of the checkout on the path."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("UPLIFT", "DAGSTER"))
    }
    # The key of text ids decides who is held out; with one made anew, a list is refused now and then.
    known = {"UPLIFT_ID_KEY_FILE": str(ID_KEY), "UPLIFT_THREADS": "1", "COLUMNS": "200"}
    return kept | known | {"PYTHONPATH": str(installed)}


def command_of(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dagster_project.commands.cli", *arguments]


def call(installed: Path, where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a folder."""
    return subprocess.run(
        command_of(*arguments),
        cwd=where,
        env=environment_of(installed),
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def started(installed: Path, where: Path, *arguments: str, api: str = "") -> Iterator[None]:
    """Start a server by the installed command in a folder; end it with the processes that it started."""
    environment = environment_of(installed) | ({"UPLIFT_API_URL": api} if api else {})
    command = command_of(*arguments)
    with subprocess.Popen(command, cwd=where, env=environment, start_new_session=True) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answered(url: str) -> httpx.Response:
    """What a server answers, once it does."""
    until = time.monotonic() + 120
    while True:
        try:
            return httpx.get(url, trust_env=False).raise_for_status()
        except (httpx.TransportError, httpx.HTTPStatusError):
            if time.monotonic() > until:
                raise
            time.sleep(0.3)


def test_help_names_every_command_and_what_it_does() -> None:
    shown = CliRunner().invoke(uplift, ["--help"])
    assert shown.exit_code == 0
    for name in (*COMMANDS, "init", "serve", "dev", "ui"):
        assert f"\n  {name} " in shown.output


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_reads_its_own_arguments(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = CliRunner().invoke(uplift, [name, "--help"])
    assert shown.exit_code == 0
    assert f"usage: uplift {name}" in shown.output + capsys.readouterr().out


def test_a_wrong_command_or_argument_is_refused() -> None:
    assert CliRunner().invoke(uplift, ["treat"]).exit_code == 2
    assert CliRunner().invoke(uplift, ["rollback", "--nonsense"]).exit_code == 2


def test_every_command_is_on_its_page() -> None:
    page = (REPOSITORY / "docs" / "command.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)[ `]", page, re.MULTILINE)) == set(uplift.commands)


def test_make_calls_the_command() -> None:
    recipes = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    called = set(re.findall(r"\$\(BIN\)/uplift ([a-z-]+)", recipes))
    assert called == set(uplift.commands) - {"init"}


def test_the_shell_completes_commands() -> None:
    environment = os.environ | {
        "_UPLIFT_COMPLETE": "bash_complete",
        "COMP_WORDS": "uplift ro",
        "COMP_CWORD": "1",
    }
    command = Path(sys.executable).with_name("uplift")
    done = subprocess.run([command], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "plain,rollback\n"


def test_an_error_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("uplift")
    done = subprocess.run(
        [command, "rollback", "--list"],
        env=os.environ | {"UPLIFT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert "make run" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_project_folder_is_new(tmp_path: Path) -> None:
    assert [
        path.relative_to(tmp_path / "mail").as_posix() for path in create_project(tmp_path / "mail")
    ] == [*FILES]
    with pytest.raises(UpliftError, match="is not empty"):
        create_project(tmp_path / "mail")


def test_the_doctor_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    monkeypatch.setenv("UPLIFT_HOME", str(home))
    assert doctor.main([]) == 1
    shown = capsys.readouterr().out
    assert f"chmod 700 {home}" in " ".join(shown.split())
    assert "uplift run NAME publishes an experiment" in shown
    assert doctor.main(["--json"]) == 1
    answers = {row["question"]: row for row in json.loads(capsys.readouterr().out)["answers"]}
    assert answers["disk"]["state"].endswith("GiB are free")
    assert "hillstrom" in answers["experiments"]["state"]
    assert answers["turn"] == {"question": "turn", "state": "no run works in this home", "remedy": ""}
    with home_turn(home, Worker.here("run of hillstrom", ""), print):
        assert doctor.main(["--json"]) == 1
    shown = json.loads(capsys.readouterr().out)["answers"]
    (turn,) = [row for row in shown if row["question"] == "turn"]
    assert turn["state"].startswith(f"run of hillstrom (process {os.getpid()} on ")


def test_a_finished_home_is_well(
    simulated_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPLIFT_HOME", str(simulated_home))
    monkeypatch.setattr(doctor, "LEAST_FREE", 0)
    assert doctor.main(["--json"]) == 0
    answers = {row["question"]: row for row in json.loads(capsys.readouterr().out)["answers"]}
    assert answers["published"]["state"].startswith("simulated, 0.")


def test_the_wheel_has_all_sql_and_data_files(installed: Path) -> None:
    packaged = {
        path.relative_to(installed / "dagster_project" / "sql")
        for path in (installed / "dagster_project" / "sql").rglob("*")
        if path.is_file()
    }
    assert packaged == {path.relative_to(SQL_FOLDER) for path in SQL_FOLDER.rglob("*") if path.is_file()}
    for package in PACKAGES:
        sources = {
            path.relative_to(REPOSITORY)
            for path in (REPOSITORY / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert {path for path in sources if not (installed / path).is_file()} == set()


def test_an_installed_package_runs_an_experiment_outside_the_checkout(
    installed: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    assert call(installed, tmp_path, "init", "project").returncode == 0
    pc.write_csv(offers()[0], tmp_path / "offers.csv")
    for step in (["new", str(tmp_path / "offers.csv"), "offers"], ["check", "offers"]):
        done = call(installed, project, *step)
        assert done.returncode == 0, done.stdout + done.stderr
    (project / ".uplift").mkdir()
    share_proof(project / ".uplift")
    done = call(installed, project, "run", "offers")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Whom to treat" in done.stdout
    assert list((project / ".uplift" / "exports" / "offers").rglob("treat.csv"))
    answer = call(installed, project, "sql", "--", "select count(*) as users from raw.offers")
    assert answer.returncode == 0, answer.stderr
    api, app = free_port(), free_port()
    with started(installed, project, "serve", "--port", str(api)):
        published = answered(f"http://127.0.0.1:{api}/readyz").json()
        assert published["status"] == "ready"
        with started(installed, project, "ui", "--port", str(app), api=f"http://127.0.0.1:{api}"):
            assert answered(f"http://127.0.0.1:{app}/_stcore/health").text == "ok"
            assert "<title>Streamlit" in answered(f"http://127.0.0.1:{app}").text
    assert not list(installed.rglob(".uplift"))
