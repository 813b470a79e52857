"""A user's files on this machine: one file, or the parts that a pattern names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from uplift_core.artifacts.files import sha256_file
from uplift_core.errors import DataError


@dataclass(frozen=True)
class SourceFile:
    """A verified source file on this machine."""

    path: Path
    sha256: str
    is_copy: bool = False  # a copy of a table, which is removed once it is loaded


def own_file(
    name: str, key: str, folder: Path, path: Path, *, base: str = "the experiment's folder"
) -> SourceFile:
    """Return a user's file; a pattern names several parts of one file, in the order of their names.

    Args:
        name: the experiment.
        key: the declaration's key that names the file.
        folder: the folder that the path is relative to.
        path: the declared path.
        base: the name of ``folder`` in messages.

    Raises:
        DataError: there is no such file.
    """
    whole = folder / path.expanduser()
    if whole.is_file():
        return SourceFile(whole, sha256_file(whole))
    parts = parts_of(whole)
    if not parts:
        raise DataError(
            f"{name}: {key} = '{path}': there is no file {whole}; correct the path, relative to {base}"
        )
    digests = " ".join(sha256_file(part) for part in parts)
    return SourceFile(whole, hashlib.sha256(digests.encode()).hexdigest())


def parts_of(path: Path) -> list[Path]:
    """List the file, or the files that a pattern names, in the order of their names."""
    if path.is_file():
        return [path]
    return sorted(part for part in path.parent.glob(path.name) if part.is_file())
