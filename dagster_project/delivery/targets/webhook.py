"""Tell a tool that a list is ready. The message names no user."""

from __future__ import annotations

import time
from collections.abc import Mapping

import httpx

SECONDS = 10.0  # that a receiver may take to answer
WAITS = (0.0, 1.0, 4.0)  # seconds before each attempt


def tell(url: str, message: Mapping[str, object], digest: str) -> None:
    """Post a message; ``digest`` is its idempotency key, so that a repeated one can be told.

    A receiver that does not answer, or answers 429 or 5xx, is asked again twice.

    Raises:
        httpx.HTTPError: it did not accept the message.
    """
    with httpx.Client(timeout=SECONDS, follow_redirects=False) as client:
        for attempt, wait in enumerate(WAITS, start=1):
            time.sleep(wait)
            try:
                answer = client.post(url, json=dict(message), headers={"Idempotency-Key": digest})
                answer.raise_for_status()
            except (httpx.TransportError, httpx.HTTPStatusError) as error:
                if attempt == len(WAITS) or _is_final(error):
                    raise
            else:
                return


def _is_final(error: httpx.HTTPError) -> bool:
    """Return whether another attempt would fail alike: the receiver understood, and refused."""
    return (
        isinstance(error, httpx.HTTPStatusError)
        and error.response.status_code != httpx.codes.TOO_MANY_REQUESTS
        and error.response.is_client_error
    )
