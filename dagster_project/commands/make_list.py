"""Make one night's list: ``uplift list hillstrom --budget 0.2 --campaign spring``."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from functools import partial

from dagster_project.commands.run_options import (
    add_run_options,
    declared_names,
    finish,
    iso_date,
    run_options,
)
from dagster_project.settings import Settings
from uplift_core.boosting.without_scikit_learn import import_xgboost

QUOTAS = ("max_users", "max_money")
CHOICES = ("arm", "campaign", "budget", "users", "money", "learner", "override")


def _quota(text: str, of: type[int | float]) -> tuple[str, float]:
    """Read an arm and its limit, such as call=200."""
    arm, _, limit = text.partition("=")
    try:
        return arm, of(limit)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}': write ARM=LIMIT, such as call=200") from error


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(
        prog="uplift list",
        description="Decide whom to treat on one date from the current scores; export and publish it. "
        "A list of the same date and campaign is replaced.",
    )
    made.add_argument("experiment", choices=declared_names(Settings()))
    size = made.add_mutually_exclusive_group()
    size.add_argument("--budget", type=float, metavar="SHARE", help="share of users to treat, 0 to 1")
    size.add_argument("--users", type=int, metavar="N", help="number of users to treat")
    size.add_argument("--money", type=float, metavar="AMOUNT", help="money to spend, by declared costs")
    made.add_argument("--arm", help="the arm to treat with, or 'best'; default: the declared one")
    made.add_argument(
        "--max-users",
        action="append",
        type=partial(_quota, of=int),
        metavar="ARM=N",
        help="with --arm best: largest number of users of one arm; may be repeated",
    )
    made.add_argument(
        "--max-money",
        action="append",
        type=partial(_quota, of=float),
        metavar="ARM=AMOUNT",
        help="with --arm best: largest cost of one arm; may be repeated",
    )
    made.add_argument("--campaign", help="purpose of the list; default: the arm's name")
    made.add_argument(
        "--learner", help="whose score decides; default: the champion, or the declared one"
    )
    made.add_argument(
        "--override", metavar="REASON", help="write the list even if a gate fails; recorded"
    )
    made.add_argument("--date", type=iso_date, help="date of the list; default: today (UTC)")
    made.add_argument("--json", action="store_true", help="print the list's figures as one JSON object")
    add_run_options(made)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Make the list that the command describes; return the exit code."""
    chosen = parser().parse_args(arguments)
    config = {name: getattr(chosen, name) for name in CHOICES if getattr(chosen, name) is not None}
    config |= {name: dict(getattr(chosen, name)) for name in QUOTAS if getattr(chosen, name)}
    # Dagster and XGBoost take seconds to import, so --help and wrong arguments are answered first.
    import_xgboost()
    from dagster_project.night_jobs import make_list  # noqa: PLC0415

    code = make_list(
        chosen.experiment,
        chosen.date or datetime.now(UTC).date().isoformat(),
        config,
        as_json=chosen.json,
        **run_options(chosen),
    )
    return finish(code)
