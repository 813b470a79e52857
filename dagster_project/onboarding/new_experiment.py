"""Declare your own experiment from its file: ``make new-experiment FILE=... NAME=...``.

    python -m dagster_project.onboarding.new_experiment campaign.csv spring_mail --control "No mail"

The command reads the file and does not change it. It writes a draft: it prints every guess, and an
option overrides each of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from uplift_core.errors import UpliftError


def main(arguments: list[str] | None = None) -> int:
    """Write the folder of a new experiment; return the exit code."""
    parsed = _parser().parse_args(arguments)
    # DuckDB, XGBoost and all that reads the file take a second to import, so --help is answered first.
    from rich.console import Console  # noqa: PLC0415

    from dagster_project.onboarding.guesses import Options  # noqa: PLC0415
    from dagster_project.onboarding.new_folder import new_experiment  # noqa: PLC0415

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
    )
    folder = new_experiment(Path(parsed.file), parsed.name, options, Console(highlight=False))
    return 0 if folder.is_dir() else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="uplift new", description="Declare a randomized experiment from its file."
    )
    parser.add_argument("file", help="CSV (also .csv.gz) or Parquet; a pattern names several parts")
    parser.add_argument("name", help="the experiment's name: lower-case letters, digits, underscores")
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
