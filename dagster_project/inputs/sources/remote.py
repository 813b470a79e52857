"""A file of one's own in an object store or behind another fsspec URL, copied to this machine."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path, PurePosixPath

import fsspec

from uplift_core.errors import DataError

# A path keeps one slash of the two: s3:/bucket/part-*.parquet.
URL = re.compile(r"^([a-z][a-z0-9+.-]+):/+(?=.)")


def url_of(path: Path) -> str:
    """The URL that was written as a path; empty if it names a local file."""
    found = URL.match(str(path))
    if not found:
        return ""
    slashes = ":///" if found[1] == "file" else "://"
    return f"{found[1]}{slashes}{str(path)[found.end() :]}"


def fetch_url(name: str, url: str, cache: Path) -> Path:
    """Copy the file, or all files that a pattern names, anew; returns where, as a path or a pattern.

    Raises:
        DataError: there is no such file, or the store cannot be asked.
    """
    folder = cache / hashlib.sha256(url.encode()).hexdigest()[:12]
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        store, place = fsspec.core.url_to_fs(url)
        found = sorted(store.glob(place))
        for file in found:
            store.get_file(file, str(aside / PurePosixPath(file).name))
    except (OSError, ImportError, ValueError) as error:
        raise DataError(
            f"{name}: source.path = '{url}' cannot be read: {error}; correct the URL, or install what "
            "its store needs"
        ) from error
    if not found:
        raise DataError(f"{name}: source.path = '{url}' names no file; correct it")
    shutil.rmtree(folder, ignore_errors=True)
    aside.replace(folder)
    return folder / PurePosixPath(place).name
