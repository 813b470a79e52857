"""How users' ids in files become ``user_id``, a whole number of 63 bits."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field

from uplift_core.errors import UpliftError
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.splits import md5_number_lower

MOST = 2**63 - 1  # of a BIGINT
DIGITS = re.compile("0|[1-9][0-9]{0,18}")
KEY_BYTES = 32
BLOCK = 64  # bytes that sha256 takes at once; HMAC pads its key to them
INNER, OUTER = 0x36, 0x5C  # HMAC's pads (RFC 2104)


@dataclass(frozen=True)
class IdKey:
    """The home's secret, with which text ids are hashed.

    Whoever has a list of e-mail addresses and the numbers, but not the key, cannot tell who is who.

    Attributes:
        secret: 32 random bytes.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise UpliftError(f"a key of ids has {KEY_BYTES} bytes, and not {len(self.secret)}")

    def number(self, text: str) -> int:
        """Return the ``user_id`` of a text id: 63 bits of its HMAC-SHA256 (RFC 2104)."""
        return int.from_bytes(hmac.digest(self.secret, text.encode(), "sha256")[:8], "big") >> 1

    @property
    def blocks(self) -> list[bytes]:
        """The key as HMAC's two hashes begin with it, inner and outer, as ``sql/rules`` takes it."""
        padded = self.secret.ljust(BLOCK, b"\0")
        return [bytes(byte ^ pad for byte in padded) for pad in (INNER, OUTER)]

    @property
    def fingerprint(self) -> str:
        """Tell the key from others without giving it away: the sha256 of a derived value, in hex."""
        return hmac.new(self.secret, b"fingerprint", "sha256").hexdigest()


def number_of_text(text: str) -> int:
    """Return the ``user_id`` of a text id where ``id_hash`` is md5: 63 bits of its md5."""
    return md5_number_lower(text) >> 1


def number_in(text: str) -> int | None:
    """Return the ``user_id`` that a text of digits names; None if it names none."""
    number = int(text) if DIGITS.fullmatch(text) else MOST + 1
    return number if number <= MOST else None


def numbers_by(experiment: Experiment, text: str, key: IdKey | None) -> set[int]:
    """Return the values of ``user_id`` that a user of a later file may have by this id.

    Digits may be read as a number or as a text; each stands for nobody else. A row has no id before it
    is there.

    Args:
        experiment: the experiment.
        text: the id.
        key: the home's key; None if it has none yet.

    Raises:
        UpliftError: the experiment's ids are hashed by the key, and it is missing.
    """
    if experiment.has_row_numbers:
        return set()
    number = number_in(text)
    numbers = set() if number is None else {number}
    if not experiment.id_column:
        return numbers
    if experiment.id_hash == "md5":
        return numbers | {number_of_text(text)}
    if key is None:
        raise UpliftError(
            f"{experiment.name}: the key of its text ids, the file id_key of UPLIFT_HOME, is missing; "
            "restore it from a backup"
        )
    return numbers | {key.number(text)}


def numbers_to_come(experiment: Experiment, text: str, key: IdKey | None) -> set[int]:
    """Return ``numbers_by``, and the number of the id in experiments that are still to come."""
    numbers = numbers_by(experiment, text, key)
    return numbers | {key.number(text)} if key and not experiment.has_row_numbers else numbers
