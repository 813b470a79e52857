"""Downloads that give the whole, verified file or nothing."""

from __future__ import annotations

from pathlib import Path

import httpx
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from uplift_core.artifacts.files import sha256_file, sync_folder
from uplift_core.errors import DataError

TIMEOUT = httpx.Timeout(30.0, connect=5.0)


def download(url: str, target: Path, size: int, sha256: str) -> None:
    """Download ``url`` to ``target``; resume an interrupted download if the server allows it.

    Raises:
        DataError: the server cannot be reached, or sent another file than expected.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        _fetch(url, part, size)
    except httpx.HTTPError as error:
        raise DataError(f"not reached ({type(error).__name__}: {error})") from error
    digest = sha256_file(part)
    if digest != sha256:
        part.unlink()
        raise DataError(f"the downloaded file has sha256 {digest}, expected {sha256}; discarded")
    part.replace(target)
    sync_folder(target.parent)


def _fetch(url: str, part: Path, size: int) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have == size:  # complete, but not yet verified when the run was stopped
        return
    if have > size:
        part.unlink()
        have = 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as reply:
        reply.raise_for_status()
        resumed = reply.status_code == httpx.codes.PARTIAL_CONTENT
        columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with part.open("ab" if resumed else "wb") as file, Progress(*columns) as progress:
            name = part.name.removeprefix(".").removesuffix(".part")
            task = progress.add_task(name, total=size, completed=have if resumed else 0)
            for chunk in reply.iter_bytes():
                file.write(chunk)
                progress.advance(task, len(chunk))
