"""Enter a user into the register of consent, and read what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from serve.errors import RequestError, UnavailableError, UnknownUserError, shown
from serve.known_users import today
from serve.release import PublishedModel, Release
from serve.schemas.requests import SuppressionRequest
from serve.settings import Settings
from uplift_core.artifacts.register import ALL, Entry, Register, RegisterError, Wish, scopes_of
from uplift_core.errors import UpliftError
from uplift_core.experiment.user_ids import numbers_by, numbers_to_come


@dataclass(frozen=True)
class Said:
    """What was entered, whether the user is published, and experiments that it does not concern."""

    entries: Sequence[Entry]
    known: bool
    not_for: list[str]


def enter(settings: Settings, release: Release, body: SuppressionRequest, made_by: str) -> Said:
    """Enter what a request says about a user.

    Raises:
        RequestError: the experiment, the id or the last day is wrong, or there is nothing to lift.
        UnknownUserError: nobody who is published has the id.
        UnavailableError: the register cannot be written.
    """
    models, not_for = _concerned(release, body.experiment)
    user, day = body.user, today()
    published = {
        number for model in models for number in release.snapshot.user_ids(model.experiment, user)
    }
    _refuse_past(body.until, day)
    users = set(published)
    if body.action == "lift" or body.unknown_too or (published and body.experiment is None):
        users |= _may_come(settings, models, user, to_come=body.experiment is None)
    if not users or not (published or body.unknown_too or body.action == "lift"):
        raise UnknownUserError(_unknown(models, user))
    scope = body.experiment or ALL
    register = Register(settings.register)
    try:
        if body.action == "lift":
            users = {entry.user_id for entry in register.keeping_out([scope], day, sorted(users))}
            if not users:
                raise RequestError(
                    f"user = {shown(user)}: no entry for {body.experiment or 'all experiments'} keeps "
                    "them out; GET /suppressions/{experiment}/{user} shows what does"
                )
        wishes = [
            Wish(number, scope, body.action, body.reason, made_by, body.until)
            for number in sorted(users)
        ]
        return Said(register.enter(wishes), bool(published), not_for)
    except RegisterError as error:
        raise UnavailableError(str(error)) from error


def history(
    settings: Settings, release: Release, experiment: str, user: str
) -> tuple[set[int], list[Entry], bool]:
    """Return what an id stands for, all entries about it, and whether they keep the user out today.

    Raises:
        RequestError: there is no such experiment.
        UnknownUserError: nobody who is published or entered has the id.
        UnavailableError: the register cannot be read.
    """
    model = release.model(experiment)
    register, scopes = Register(settings.register), scopes_of(model.experiment)
    published = release.snapshot.user_ids(model.experiment, user)
    users = published | _may_come(settings, [model], user, to_come=False)
    try:
        entries = [entry for number in sorted(users) for entry in register.history(number, scopes)]
        keeps_out = bool(users and register.keeping_out(scopes, today(), sorted(users)))
    except RegisterError as error:
        raise UnavailableError(str(error)) from error
    if not published and not entries:
        raise UnknownUserError(_unknown([model], user))
    users = published | {entry.user_id for entry in entries}
    return users, sorted(entries, key=lambda entry: entry.entry), keeps_out


def _may_come(
    settings: Settings, models: Sequence[PublishedModel], user: str, *, to_come: bool
) -> set[int]:
    """Return what an id may stand for in later files; ``to_come``: of later experiments, too.

    Raises:
        UnavailableError: the home's key of ids is missing.
    """
    numbers_of = numbers_to_come if to_come else numbers_by
    try:
        key = settings.id_key()
        return {number for model in models for number in numbers_of(model.experiment, user, key)}
    except UpliftError as error:
        raise UnavailableError(str(error)) from error


def _concerned(release: Release, experiment: str | None) -> tuple[list[PublishedModel], list[str]]:
    """Return the models that an entry is about, and the experiments that one for all leaves out."""
    if experiment is not None:
        return [release.model(experiment)], []
    rows = sorted(name for name, model in release.models.items() if model.experiment.has_row_numbers)
    models = [model for name, model in release.models.items() if name not in rows]
    if not models:
        raise RequestError(
            f"experiment: missing; {', '.join(rows)} know users by the row in their file, which means "
            "nothing to another experiment, so name one"
        )
    return models, rows


def _refuse_past(until: date | None, day: date) -> None:
    if until and until < day:
        raise RequestError(
            f"until = {until}: that day is over (it is {day} in UTC); name a later last day, or none"
        )


def _unknown(models: Sequence[PublishedModel], user: str) -> str:
    names = ", ".join(model.experiment.name for model in models)
    columns = sorted({f"'{m.experiment.id_column}'" for m in models if m.experiment.id_column})
    remedy = "its users are rows of the file, from 1 to the last"
    if not all(model.experiment.has_row_numbers for model in models):
        remedy = "correct it, or send unknown_too if the user comes with a later file"
    what = " or ".join([*columns, "user_id"])
    return f"user = {shown(user)}: is the {what} of no published user of {names}; {remedy}"
