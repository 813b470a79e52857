"""Stores for exports: a folder of this machine, or an object store by its fsspec URL."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import fsspec
from typing_extensions import override

from uplift_core.artifacts.files import remove_whole, replace_file, sha256_file, sync_file, sync_folder
from uplift_core.errors import UpliftError

TEMPORARY = ".export-"


class Store(ABC):
    """A store: folders appear whole, small files are replaced whole, names are relative."""

    @abstractmethod
    def workspace(self) -> Path:
        """Create a folder of this machine to prepare files in."""

    @abstractmethod
    def put_folder(self, local: Path, name: str) -> None:
        """Make the folder ``name`` from the files of ``local``; ``local`` may be gone afterwards."""

    @abstractmethod
    def replace(self, name: str, content: bytes) -> None:
        """Write or replace a file atomically."""

    @abstractmethod
    def replace_by_file(self, name: str, local: Path) -> None:
        """Write or replace a file atomically by one of this machine."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """Return a file's content, or None if there is no such file."""

    @abstractmethod
    def sha256(self, name: str) -> str | None:
        """Return a file's sha256 in hex, or None if there is no such file."""

    @abstractmethod
    def folders(self, name: str) -> list[str]:
        """List the names of the folders directly below ``name``."""

    @abstractmethod
    def remove_folder(self, name: str) -> None:
        """Remove a folder with its files."""

    @abstractmethod
    def url(self, name: str) -> str:
        """Return the address of a file for readers."""


class LocalStore(Store):
    """A folder of this machine; all its files are on the disk and whole, also after a power cut."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @override
    def workspace(self) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        for left in self.root.glob(f"{TEMPORARY}*"):  # from a run that was killed; only one run writes
            shutil.rmtree(left)
        return Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=self.root))

    @override
    def put_folder(self, local: Path, name: str) -> None:
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        for file in local.iterdir():
            sync_file(file)
        sync_folder(local)
        if target.exists():  # it is damaged; rename it first, as folders cannot be replaced
            target.rename(local.with_name(f"{local.name}-damaged"))
        local.rename(target)
        sync_folder(target.parent)
        shutil.rmtree(local.with_name(f"{local.name}-damaged"), ignore_errors=True)

    @override
    def replace(self, name: str, content: bytes) -> None:
        replace_file(self.root / name, content)

    @override
    def replace_by_file(self, name: str, local: Path) -> None:
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        sync_file(local)
        local.replace(target)  # the workspace is of the same file system
        sync_folder(target.parent)

    @override
    def read(self, name: str) -> bytes | None:
        path = self.root / name
        return path.read_bytes() if path.is_file() else None

    @override
    def sha256(self, name: str) -> str | None:
        path = self.root / name
        return sha256_file(path) if path.is_file() else None

    @override
    def folders(self, name: str) -> list[str]:
        return sorted(path.name for path in (self.root / name).iterdir() if path.is_dir())

    @override
    def remove_folder(self, name: str) -> None:
        """See ``Store.remove_folder``; nobody sees a part of the folder."""
        remove_whole(self.root / name, TEMPORARY, self.root)

    @override
    def url(self, name: str) -> str:
        return str(self.root / name)


class ObjectStore(Store):
    """An object store. Objects are written whole; no reader knows a folder until a manifest names it."""

    def __init__(self, url: str, scratch: Path) -> None:
        try:
            self.files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UpliftError(
                f"{url}: no file system for this address ({error}); "
                "install its fsspec package, s3fs for s3"
            ) from error
        self.root, self.scratch, self.scheme = root.rstrip("/"), scratch, urlparse(url).scheme

    @override
    def workspace(self) -> Path:
        return LocalStore(self.scratch).workspace()

    @override
    def put_folder(self, local: Path, name: str) -> None:
        for file in sorted(local.iterdir()):
            self.files.put_file(str(file), f"{self.root}/{name}/{file.name}")

    @override
    def replace(self, name: str, content: bytes) -> None:
        self.files.pipe_file(f"{self.root}/{name}", content)

    @override
    def replace_by_file(self, name: str, local: Path) -> None:
        self.files.put_file(str(local), f"{self.root}/{name}")

    @override
    def read(self, name: str) -> bytes | None:
        self.files.invalidate_cache()
        path = f"{self.root}/{name}"
        return self.files.cat_file(path) if self.files.isfile(path) else None

    @override
    def sha256(self, name: str) -> str | None:
        self.files.invalidate_cache()
        path = f"{self.root}/{name}"
        if not self.files.isfile(path):
            return None
        with self.files.open(path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 22):
                digest.update(block)
        return digest.hexdigest()

    @override
    def folders(self, name: str) -> list[str]:
        self.files.invalidate_cache()
        items = self.files.ls(f"{self.root}/{name}", detail=True)
        return sorted(item["name"].rsplit("/", 1)[-1] for item in items if item["type"] == "directory")

    @override
    def remove_folder(self, name: str) -> None:
        self.files.rm(f"{self.root}/{name}", recursive=True)

    @override
    def url(self, name: str) -> str:
        return f"{self.scheme}://{self.root.lstrip('/')}/{name}"


def open_store(address: str, scratch: Path) -> Store:
    """Return the store at a path or an fsspec URL; ``scratch`` is a local folder to prepare files in."""
    return ObjectStore(address, scratch) if "://" in address else LocalStore(Path(address))


@contextmanager
def prepared(store: Store) -> Iterator[Path]:
    """Yield a workspace of the store, and remove it afterwards."""
    folder = store.workspace()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
