"""Declare your own experiment from its file: ``make new-experiment FILE=... NAME=...``.

    python -m dagster_project.onboarding.new_experiment campaign.csv spring_mail --control "No mail"

The command reads the file and does not change it. It writes a draft: it prints every guess, and an
option overrides each of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from uplift_core.errors import ExperimentError, UpliftError

if TYPE_CHECKING:
    from uplift_core.experiment.sources import TableSource


def main(arguments: list[str] | None = None) -> int:
    """Write the folder of a new experiment; return the exit code."""
    parsed = _parser().parse_args(arguments)
    # DuckDB, XGBoost and all that reads the file take a second to import, so --help is answered first.
    from rich.console import Console  # noqa: PLC0415

    from dagster_project.onboarding.guesses import Options  # noqa: PLC0415
    from dagster_project.onboarding.new_folder import new_experiment  # noqa: PLC0415

    with TemporaryDirectory() as copies:
        table = table_source(parsed.connection, parsed.file) if parsed.connection else None
        options = Options(
            id=parsed.id,
            arm=parsed.arm,
            control=parsed.control,
            outcomes=tuple(parsed.outcome),
            ignore=tuple(parsed.ignore),
            yes=tuple(parsed.yes),
            shares=parsed.shares,
            missing_is_zero=parsed.missing_is_zero,
            cluster=parsed.cluster,
            strata=tuple(name for name in parsed.strata.split(",") if name),
            propensity=parsed.propensity,
            exposure=parsed.exposure,
            weight=parsed.weight,
            force=parsed.force,
            table=table,
        )
        file = _copy(parsed.name, table, Path(copies)) if table else Path(parsed.file)
        folder = new_experiment(file, parsed.name, options, Console(highlight=False))
    return 0 if folder.is_dir() else 1


def table_source(connection: str, table: str) -> TableSource:
    """Return the declared form of a table.

    Raises:
        ExperimentError: a name is not valid.
    """
    from pydantic import ValidationError  # noqa: PLC0415

    from uplift_core.experiment.sources import TableSource  # noqa: PLC0415

    try:
        return TableSource(kind="table", connection=connection, table=table)
    except ValidationError as error:
        raise ExperimentError(
            f"--connection {connection} {table}: name a connection in lower-case letters, and a table "
            "as schema.table, without quotes and blanks"
        ) from error


def _copy(name: str, table: TableSource, folder: Path) -> Path:
    from dagster_project.inputs.sources.tables import copy_table  # noqa: PLC0415

    return copy_table(name, table, folder).path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="uplift new", description="Declare a randomized experiment from its file."
    )
    parser.add_argument("file", help="CSV (also .csv.gz) or Parquet; a pattern names several parts")
    parser.add_argument("name", help="the experiment's name: lower-case letters, digits, underscores")
    parser.add_argument(
        "--connection",
        default="",
        metavar="NAME",
        help="FILE is a table of this database; UPLIFT_CONNECTION_<NAME> holds its URI",
    )
    parser.add_argument("--id", default="", metavar="COLUMN", help="the users' id, or row_number")
    parser.add_argument("--arm", default="", metavar="COLUMN", help="the assigned arm of each user")
    parser.add_argument("--control", default="", metavar="VALUE", help="the arm without treatment")
    parser.add_argument(
        "--cluster",
        default="",
        metavar="COLUMN",
        help="the unit that was assigned as a whole, such as the household; none: each user alone",
    )
    parser.add_argument(
        "--strata",
        default="",
        metavar="COLUMNS",
        help="users were assigned within these columns, at other shares in each, such as region,wave",
    )
    parser.add_argument(
        "--propensity",
        default="",
        metavar="COLUMN",
        help="the chance, above 0 and below 1, with which each user was assigned to the treatment",
    )
    parser.add_argument(
        "--exposure",
        default="",
        metavar="COLUMN",
        help="1 for users whom the treatment reached, such as by an opened e-mail, and 0 for others",
    )
    parser.add_argument(
        "--weight",
        default="",
        metavar="COLUMN",
        help="how many users of the population each user of the sample stands for",
    )
    for option, meaning in (("outcome", "an outcome"), ("ignore", "neither feature nor outcome")):
        parser.add_argument(
            f"--{option}", action="append", default=[], metavar="COLUMN", help=f"{meaning}; repeatable"
        )
    parser.add_argument(
        "--yes",
        action="append",
        default=[],
        metavar="VALUE",
        help="the text that means that an outcome happened; repeatable",
    )
    parser.add_argument(
        "--shares",
        default="",
        metavar="SHARES",
        help="the planned shares, such as 'control=0.5 mail=0.5'; or counted, if there was no plan",
    )
    parser.add_argument(
        "--missing-is-zero", action="store_true", help="an outcome without a value did not happen"
    )
    parser.add_argument(
        "--force", action="store_true", help="draft an experiment again; its files stay as *.before"
    )
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UpliftError as error:
        hint = "\nMake takes options as OPTIONS='--arm COLUMN ...'" if "--" in str(error) else ""
        sys.exit(f"error: {error}{hint}")
