"""Send one notice to all receivers: ``python -m`` this module, with the message on standard input."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from logging.handlers import RotatingFileHandler

PAUSES = (0.0, 2.0, 20.0)  # seconds before each try
LARGEST_LOG = 1_000_000  # bytes


def main() -> int:
    """Send the message, try again if need be, and log who did not get it. Return the exit code."""
    message = json.load(sys.stdin)
    refused = [*send(message["addresses"], message["title"], message["text"])]
    if refused:
        handler = RotatingFileHandler(message["log"], maxBytes=LARGEST_LOG, backupCount=1)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log = logging.getLogger(__name__)
        log.addHandler(handler)
        for name in refused:
            log.warning("%s did not take: %s", name, message["title"])
    return int(bool(refused))


def send(addresses: str, title: str, text: str, *, pauses: tuple[float, ...] = PAUSES) -> Iterator[str]:
    """Send a message to all receivers, one after the other.

    Yields:
        The kind of each receiver that did not take it, such as ``slack``; a URL holds a password.
    """
    from apprise import Apprise  # noqa: PLC0415 - takes a second to import

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its lines name the URLs
    for address in addresses.split():
        receiver = Apprise()
        if not receiver.add(address) or not any(
            _tries(partial(receiver.notify, title=title, body=text), pauses)
        ):
            yield address.partition(":")[0]


def _tries(notify: Callable[[], object], pauses: tuple[float, ...]) -> Iterator[bool]:
    for pause in pauses:
        time.sleep(pause)
        yield bool(notify())


if __name__ == "__main__":
    sys.exit(main())
