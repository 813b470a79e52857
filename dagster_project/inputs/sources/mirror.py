"""A source file from a Python source package, which pip downloads from its registry."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from uplift_core.artifacts.files import replace_file
from uplift_core.errors import DataError
from uplift_core.experiment.sources import Mirror

TIMEOUT = 180  # seconds


def fetch_from_mirror(mirror: Mirror, target: Path) -> None:
    """Write the mirrored file to ``target``.

    pip checks the package against the declared hash; the caller checks the file.

    Raises:
        DataError: pip failed, or the package has no such file.
    """
    with tempfile.TemporaryDirectory() as folder:
        package = _pip_download(mirror, Path(folder))
        with tarfile.open(package) as archive:
            names = [name for name in archive.getnames() if name.endswith(f"/{mirror.member}")]
            stream = archive.extractfile(names[0]) if names else None
            if stream is None:
                raise DataError(f"{package.name} holds no {mirror.member}")
            content = stream.read()
    if mirror.member.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as zipped:
            content = zipped.read(zipped.namelist()[0])
    replace_file(target, content)


def _pip_download(mirror: Mirror, folder: Path) -> Path:
    pin = folder / "pin.txt"
    pin.write_text(f"{mirror.package}=={mirror.version} --hash=sha256:{mirror.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--no-binary", ":all:", "--dest", str(folder), "--requirement", str(pin)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise DataError(f"pip did not end within {TIMEOUT} s") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(f"pip failed: {last}") from error
    packages = list(folder.glob("*.tar.gz"))
    if len(packages) != 1:
        raise DataError(f"pip brought {len(packages)} source packages, expected 1")
    return packages[0]
