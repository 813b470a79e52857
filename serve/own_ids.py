"""Users by the ids that the file writes."""

from __future__ import annotations

from collections.abc import Sequence

from serve.errors import RequestError, UnknownUserError, shown
from serve.snapshot import Snapshot
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.user_ids import MOST


def numbers_of(snapshot: Snapshot, experiment: Experiment, ids: Sequence[int | str]) -> tuple[int, ...]:
    """Return the ``user_id`` of each user: a number is one, a text is the file's id, or else its digits.

    Raises:
        RequestError: a text is neither, or several rows of the file have it.
        UnknownUserError: no published user has the text.
    """
    texts = {each for each in ids if isinstance(each, str)}
    known = snapshot.users_by_text(experiment, sorted(texts)) if texts else {}
    return tuple(
        _number(experiment, each, known.get(each, [])) if isinstance(each, str) else each for each in ids
    )


def _number(experiment: Experiment, text: str, users: Sequence[int]) -> int:
    if len(users) == 1:
        return users[0]
    if users:
        raise RequestError(
            f"user_id = {shown(text)}: {len(users)} rows of {experiment.name} have this "
            f"'{experiment.id_column}'; send the number of one, user_id {', '.join(map(str, users[:3]))}"
        )
    number = int(text) if text.isascii() and text.isdigit() else MOST + 1
    if number <= MOST:
        return number
    if not experiment.id_column:
        raise RequestError(
            f"user_id = {shown(text)}: users of {experiment.name} have numbers; send a whole number "
            f"from 0 to {MOST}, or its digits as text"
        )
    raise UnknownUserError(
        f"user_id = {shown(text)}: is the '{experiment.id_column}' of no published user of "
        f"{experiment.name}; send attributes instead, or wait for the next run to know the user"
    )
