"""The command ``uplift``: everything that ``make`` does, for an installed package.

Most commands belong to modules of their own, which read their arguments; they are imported only when
they are called, so ``uplift --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import click

from dagster_project.commands.project_folder import create_project
from uplift_core.artifacts.home import Home
from uplift_core.errors import UpliftError

WORKSPACE = "workspace.yaml"
LOOPBACK = "127.0.0.1"
# Command -> its module, and what it does.
COMMANDS = {
    "run": ("dagster_project.run", "Materialize experiments, from the file to the published list."),
    "new": ("dagster_project.onboarding.new_experiment", "Declare an experiment from its file."),
    "check": ("dagster_project.onboarding.check_experiment", "Tell all problems of an experiment."),
    "list": ("dagster_project.commands.make_list", "Decide whom to treat on one date."),
    "measure": ("dagster_project.commands.measure_lists", "Measure what the lists of a date did."),
    "sql": ("dagster_project.commands.shell", "Query the published tables."),
    "suppress": ("dagster_project.commands.suppress", "Keep users out of lists and of /score."),
    "erase": ("dagster_project.commands.erase", "Erase a user of an experiment."),
    "rollback": ("dagster_project.commands.rollback", "Make an earlier snapshot the current one."),
    "backup": ("dagster_project.commands.backup", "Back a home up, or restore it."),
    "carry-ledger": ("dagster_project.commands.carry_ledger", "Take over an earlier ledger."),
    "notify": ("dagster_project.commands.notify", "Send a message to those who are to be told."),
    "doctor": ("dagster_project.commands.doctor", "Say whether all is well, and what to do."),
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("uplift-engine"), prog_name="uplift")
def uplift() -> None:
    """Learn whom a treatment changes, prove it, and decide whom to treat within a budget."""


@uplift.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> None:
    """Create a project folder for your experiments."""
    for path in create_project(folder):
        click.echo(path)
    click.echo(f"cd {folder} && uplift run simulated hillstrom")


@uplift.command()
@click.option("--port", default=8000, show_default=True, help="port of the API")
@click.option("--workers", default=1, show_default=True, help="processes of the API")
@click.option("--host", default=LOOPBACK, show_default=True, help="address to listen on")
def serve(port: int, workers: int, host: str) -> None:
    """Answer /score from what is published."""
    _replace_by("serve", "--host", host, "--port", str(port), "--workers", str(workers))


@uplift.command()
@click.option("--port", default=3000, show_default=True, help="port of the Dagster UI")
@click.option("--host", default=LOOPBACK, show_default=True, help="address to listen on")
@click.option(
    "--only",
    type=click.Choice(["webserver", "daemon"]),
    help="start the UI or the daemon alone, each in a container of its own",
)
def dev(port: int, host: str, only: str | None) -> None:
    """Open the Dagster UI, with the daemon of schedules and sensors."""
    from dagster_project.instance import prepare_dagster_home  # noqa: PLC0415 - slow to import
    from dagster_project.settings import Settings  # noqa: PLC0415

    os.environ["DAGSTER_HOME"] = str(prepare_dagster_home(Home(Settings().home)))
    code = ["-w", WORKSPACE] if Path(WORKSPACE).is_file() else ["-m", "dagster_project.definitions"]
    if only == "daemon":
        _replace_by("dagster._daemon", "run", *code)
    command = ["dagster_webserver"] if only == "webserver" else ["dagster", "dev"]
    _replace_by(*command, *code, "-h", host, "-p", str(port))


@uplift.command()
@click.option("--port", default=8501, show_default=True, help="port of the app")
def ui(port: int) -> None:
    """Open the app, and start the API if none answers."""
    _replace_by("ui.launch", str(port))


def _replace_by(module: str, *arguments: str) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - it replaces this


def _forwarded(name: str, module: str, what: str) -> click.Command:
    """Return a command whose arguments, ``--help`` among them, are read by its module."""

    def call(arguments: tuple[str, ...]) -> None:
        main: Callable[[list[str]], Any] = import_module(module).main
        sys.exit(main(list(arguments)))

    return click.Command(
        name,
        callback=call,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
        short_help=what,
    )


for _name, (_module, _what) in COMMANDS.items():
    uplift.add_command(_forwarded(_name, _module, _what))


def main() -> None:
    """Run the command; an error of the engine is one line."""
    try:
        uplift()
    except UpliftError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
