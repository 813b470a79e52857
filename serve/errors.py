"""Errors of the service; each class has the HTTP status that answers it."""

from __future__ import annotations

import json
import reprlib

from uplift_core.errors import UpliftError

_repr = reprlib.Repr()
_repr.maxlevel = 2
_repr.maxstring = 60  # characters


class ServiceError(UpliftError):
    """Base class of the errors that are explained to the caller."""

    status: int = 500


class RequestError(ServiceError):
    """The request is invalid; the message names the field, its value and the remedy."""

    status = 422


class UnknownUserError(ServiceError):
    """The snapshot does not know this user."""

    status = 404


class UnavailableError(ServiceError):
    """The service cannot answer now, for example because nothing is published."""

    status = 503


def shown(value: object) -> str:
    """Quote a caller's value for an error message: printable, and limited in length and depth."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)  # as JSON spells it
    return _repr.repr(value)
