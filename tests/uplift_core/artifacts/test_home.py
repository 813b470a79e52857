"""A home is closed to other accounts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from uplift_core.artifacts.files import replace_file
from uplift_core.artifacts.home import Home
from uplift_core.errors import UpliftError


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Files of the test may be read and written by everybody, unless the code sees to it."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("exists", [True, False])
def test_other_accounts_can_neither_list_nor_read_it(tmp_path: Path, exists: bool) -> None:
    home = Home(tmp_path / "home")
    if exists:
        home.root.mkdir()
        assert home.root.stat().st_mode & 0o777 == 0o777
    home.make_private()
    replace_file(home.cards / "card.md", b"card")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (home.root, *home.root.rglob("*"))}
    assert modes == {"home": 0o700, "cards": 0o700, "card.md": 0o600}


def test_a_home_of_another_owner_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: Path, __: int) -> None:
        raise PermissionError("the owner is another account")

    monkeypatch.setattr(Path, "chmod", forbidden)
    Home(tmp_path).make_private()
    assert os.umask(0) == 0o077


def test_a_home_that_cannot_be_made_or_written_is_refused_before_anything_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UpliftError, match="file/home: the home cannot be written, nothing was done"):
        Home(tmp_path / "file" / "home").make_private()
    Home(tmp_path).require_writable()
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)  # as of a read-only disk
    with pytest.raises(UpliftError, match="or the disk is read-only"):
        Home(tmp_path).require_writable()
