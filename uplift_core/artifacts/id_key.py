"""The file ``id_key`` of a home: the secret with which text ids of users are hashed.

Without it, users of the next file would be other users to the lists, suppressions and holdout of before.
It is made once, is part of each backup, and moves with the home.
"""

from __future__ import annotations

import os
import secrets
import uuid
from contextlib import suppress
from pathlib import Path

from uplift_core.artifacts.files import sync_folder
from uplift_core.artifacts.home import Home
from uplift_core.errors import UpliftError
from uplift_core.experiment.user_ids import KEY_BYTES, IdKey


def read_id_key(home: Home) -> IdKey | None:
    """Read the home's key; None if it has none.

    Raises:
        UpliftError: the file is no key.
    """
    try:
        return _read(home.id_key)
    except FileNotFoundError:
        return None


def make_id_key(home: Home, taken_from: Path | None = None) -> IdKey:
    """Read the home's key, or make one, mode 600; if two processes do so, the first one's key stays.

    Args:
        home: the home.
        taken_from: the file whose key a home without one takes over; None: a random key.

    Raises:
        UpliftError: a file is no key, or the home has another key than ``taken_from``.
    """
    try:
        wanted = _read(taken_from) if taken_from else None
    except FileNotFoundError as error:
        raise UpliftError(f"UPLIFT_ID_KEY_FILE names {taken_from}, which is missing") from error
    if key := read_id_key(home):
        if wanted not in {None, key}:
            raise UpliftError(
                f"UPLIFT_ID_KEY_FILE names another key than {home.id_key}, which numbers the users of "
                "this home and cannot change; unset it"
            )
        return key
    aside = home.root / f".{home.id_key.name}-{uuid.uuid4().hex[:8]}"
    try:
        _write(aside, (wanted.secret if wanted else secrets.token_bytes(KEY_BYTES)).hex())
        with suppress(FileExistsError):
            os.link(aside, home.id_key)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(home.root)
    return make_id_key(home, taken_from)


def _read(path: Path) -> IdKey:
    try:
        return IdKey(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except (ValueError, UpliftError) as error:
        raise UpliftError(f"{path}: is no key of ids ({error}); restore it from a backup") from error


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
