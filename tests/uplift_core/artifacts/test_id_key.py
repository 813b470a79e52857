"""The key of text ids is made once, is for its owner alone, and is never another one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import ID_KEY, TESTS_KEY
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.id_key import make_id_key, read_id_key
from uplift_core.errors import UpliftError


def test_a_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert read_id_key(home) is None
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: make_id_key(home), range(8)))
    assert keys == {read_id_key(home)}
    assert home.id_key.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["id_key"]
    (tmp_path / "other").mkdir()
    assert make_id_key(Home(tmp_path / "other")) not in keys


def test_a_new_home_may_take_a_key_over_and_an_old_one_may_not(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert make_id_key(home, ID_KEY) == make_id_key(home, ID_KEY) == TESTS_KEY
    other = tmp_path / "other"
    other.write_text("ab" * 32)
    with pytest.raises(UpliftError, match=r"names another key than .*id_key"):
        make_id_key(home, other)
    with pytest.raises(UpliftError, match="which is missing"):
        make_id_key(home, tmp_path / "none")


@pytest.mark.parametrize("content", ["", "ab" * 31, "no hex"])
def test_a_damaged_key_is_refused_and_not_replaced(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path)
    home.id_key.write_text(content)
    for use in (read_id_key, make_id_key):
        with pytest.raises(UpliftError, match=r"is no key of ids .* restore it from a backup"):
            use(home)
    assert home.id_key.read_text() == content
