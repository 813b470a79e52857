"""The suite's own promises: a missing real file fails in CI and skips, visibly, elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import support
from tests.support import folder_of, real_file


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine where the file lies nowhere yet."""
    monkeypatch.setattr(support, "REPOSITORY", tmp_path / "checkout")
    monkeypatch.setenv("UPLIFT_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_a_missing_file_is_never_passed_over_in_silence(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    experiment = folder_of("hillstrom").declaration
    with pytest.raises(outcome, match=r"real hillstrom file Kevin_.* set UPLIFT_DATA_DIR"):
        real_file(experiment)


@pytest.mark.parametrize("folder", ["data", "shared/data"])
def test_it_is_found_in_the_data_folder_or_beside_the_checkout(elsewhere: Path, folder: str) -> None:
    experiment = folder_of("hillstrom").declaration
    path = elsewhere / folder / experiment.source.filename
    path.parent.mkdir(parents=True)
    path.touch()
    assert real_file(experiment).samefile(path)
