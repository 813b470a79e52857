"""Send a message to the receivers of ``UPLIFT_NOTIFY``, to see that it arrives: ``uplift notify``."""

from __future__ import annotations

import argparse

from rich.console import Console

from dagster_project.settings import Settings
from uplift_core.artifacts.notice_sender import send
from uplift_core.errors import UpliftError


def main(arguments: list[str] | None = None) -> int:
    """Send it, and say who did not take it; return the exit code, 1 if anybody did not.

    Raises:
        UpliftError: there is no receiver.
    """
    description = "Send a message to the receivers of UPLIFT_NOTIFY, to see that it arrives."
    argparse.ArgumentParser(prog="uplift notify", description=description).parse_args(arguments)
    settings, console = Settings(), Console(highlight=False, soft_wrap=True, markup=False)
    addresses = settings.notify.get_secret_value()
    if not (number := len(addresses.split())):
        raise UpliftError(
            "UPLIFT_NOTIFY names no receiver; set it to URLs of apprise, such as "
            "mailtos://user:password@example.com"
        )
    text = f"Messages about {settings.home.absolute()} arrive here."
    refused = [*send(addresses, "uplift: a test", text, pauses=(0.0,))]
    for name in refused:
        console.print(f"{name}: did not take the message; check its URL in UPLIFT_NOTIFY")
    console.print(f"sent to {number - len(refused)} of {number} receivers")
    return int(bool(refused))
