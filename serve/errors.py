"""Errors of the service; each knows the HTTP status it is answered with."""

from __future__ import annotations

import json
import reprlib

from uplift_core.errors import UpliftError

_repr = reprlib.Repr()
_repr.maxlevel = 2
_repr.maxstring = 60  # characters


class ServiceError(UpliftError):
    """Base of the errors that a caller is told about."""

    status: int = 500


class RequestError(ServiceError):
    """The request cannot be answered as it stands; names the field, its value and the remedy."""

    status = 422


class UnknownUserError(ServiceError):
    """The snapshot does not know this user."""

    status = 404


class UnavailableError(ServiceError):
    """There is nothing to answer from."""

    status = 503


def shown(value: object) -> str:
    """A caller's value as an error may repeat it: quoted, printable, cut in length and in depth."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)  # as it was sent
    return _repr.repr(value)
