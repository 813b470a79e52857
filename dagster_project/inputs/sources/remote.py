"""A user's file in an object store or behind another fsspec URL, copied to this machine."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path, PurePosixPath

import fsspec

from uplift_core.errors import DataError

# A path keeps only one of the two slashes: s3:/bucket/part-*.parquet.
URL = re.compile(r"^([a-z][a-z0-9+.-]+):/+(?=.)")


def url_of(path: Path) -> str:
    """Return the URL that the declaration holds as a path; empty if it is a local file."""
    scheme = URL.match(str(path))
    if not scheme:
        return ""
    slashes = ":///" if scheme[1] == "file" else "://"
    return f"{scheme[1]}{slashes}{str(path)[scheme.end() :]}"


def fetch_url(name: str, url: str, cache: Path, *, key: str = "source") -> Path:
    """Copy the file, or all files of a pattern, again; return the copy's path or pattern.

    Raises:
        DataError: there is no such file, or the store cannot be reached.
    """
    folder = cache / hashlib.sha256(url.encode()).hexdigest()[:12]
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        store, pattern = fsspec.core.url_to_fs(url)
        files = sorted(store.glob(pattern))
        for file in files:
            store.get_file(file, str(aside / PurePosixPath(file).name))
    except (OSError, ImportError, ValueError) as error:
        raise DataError(
            f"{name}: {key}.path = '{url}' cannot be read: {error}; correct the URL, or install the "
            "package that its store needs"
        ) from error
    if not files:
        raise DataError(f"{name}: {key}.path = '{url}' names no file; correct it")
    shutil.rmtree(folder, ignore_errors=True)
    aside.replace(folder)
    return folder / PurePosixPath(pattern).name
