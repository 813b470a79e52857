"""Drafts of experiments whose chances differ between users: strata, a column, and the signs of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.onboarding import check_experiment, new_experiment
from tests.support import few_rounds, opened, run_unchecked
from uplift_core.artifacts.home import Home
from uplift_core.errors import ExperimentError
from uplift_core.experiment.declaration import DECLARATION, load_experiment
from uplift_core.experiment.strata import Stratum

N = 4_000
SHARES = {("north", 1): 0.1, ("north", 2): 0.5, ("south", 1): 0.25, ("south", 2): 0.5}


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", str(tmp_path / "own"))


def write(path: Path, **changed: object) -> Path:
    rng = np.random.default_rng(3)
    stratum = np.array(list(SHARES))[rng.integers(0, len(SHARES), N)]
    p = np.array([SHARES[region, int(wave)] for region, wave in stratum])
    mailed = rng.random(N) < p
    columns = {
        "age": rng.integers(18, 80, N),
        "region": stratum[:, 0],
        "wave": stratum[:, 1].astype(int),
        "chance": p,
        "group": np.where(mailed, "mail", "control"),
        "visit": (rng.random(N) < 0.2 + 0.3 * p).astype(int),
        **changed,
    }
    pc.write_csv(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
    return path


def draft(tmp_path: Path, *options: str, **changed: object) -> BatchExperiment:
    file = write(tmp_path / "blocks.csv", **changed)
    new_experiment.main([str(file), "blocks", "--id", "row_number", "--arm", "group", *options])
    folder = tmp_path / "own" / "blocks"
    return few_rounds(BatchExperiment.read(load_experiment(folder), folder))


def chances(experiment: BatchExperiment, tmp_path: Path) -> dict[tuple[str, int], float]:
    """The chance of each stratum in the assignment of a run; a user's is that of the stratum."""
    home = Home(tmp_path / "home")
    run_unchecked(experiment, home.root, ["raw", "features", "assignment"])
    with opened(home) as db:
        rows = db.rows(
            "select region, wave::int, min(propensity), max(propensity) from raw.blocks "
            "inner join assignment.blocks using (user_id) group by all"
        )
    assert all(low == high for *_, low, high in rows)
    return {(region, wave): low for region, wave, low, _ in rows}


def test_strata_get_the_shares_of_their_designs_and_stay_features(tmp_path: Path) -> None:
    experiment = draft(tmp_path, "--strata", "region,wave", "--ignore", "chance")
    declared = experiment.declaration
    assert declared.strata == ("region", "wave")
    assert len(declared.stratum) == len(SHARES)
    assert isinstance(declared.stratum[0], Stratum)
    features = (experiment.path / "features.sql").read_text()
    assert "region" in features
    assert "wave" in features
    assert chances(experiment, tmp_path) == pytest.approx(SHARES)


def test_counted_shares_are_those_of_each_stratum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--strata", "region,wave", "--shares", "counted", "--ignore", "chance")
    experiment = draft(tmp_path, *options)
    assert experiment.declaration.strata_shares == "counted"
    assert chances(experiment, tmp_path) == pytest.approx(SHARES, abs=0.05)
    assert "counted in 4 strata" in " ".join(capsys.readouterr().out.split())


def test_a_column_of_chances_is_declared(tmp_path: Path) -> None:
    experiment = draft(tmp_path, "--propensity", "chance")
    assert experiment.declaration.propensity_column == "chance"
    assert chances(experiment, tmp_path) == SHARES


@pytest.mark.parametrize(
    ("options", "changed", "says"),
    [
        (("--ignore", "chance"), {}, r"differs by '(region|wave)' .* pass --strata (region|wave)"),
        (("--strata", "group"), {}, "'group' is the id, the arm, an outcome"),
        (("--strata", "nowhere"), {}, "--strata 'nowhere' is no column of the file"),
        (("--strata", "region", "--propensity", "chance"), {}, "pass one of them"),
        (("--propensity", "age"), {}, "holds no chance above 0 and below 1 in 4,000 rows"),
        (
            ("--strata", "region", "--ignore", "chance"),
            {"group": np.where(np.arange(N) % 100 < 7, "mail", "control")},
            r"stratum \['(north|south)'\]: counted .* no simple design fits.* pass --shares counted",
        ),
        (
            ("--strata", "region"),
            {"group": np.array(["mail", "control", "call"])[np.arange(N) % 3]},
            "work for one treatment",
        ),
        (
            ("--strata", "region"),
            {"region": [None, *["north", "south"] * ((N - 1) // 2), "north"]},
            "'region' has no value in 1 rows",
        ),
    ],
)
def test_what_says_no_chances_is_refused(
    tmp_path: Path, options: tuple[str, ...], changed: dict[str, object], says: str
) -> None:
    with pytest.raises(ExperimentError, match=says):
        draft(tmp_path, *options, **changed)


def test_the_check_of_a_declaration_tells_wrong_chances(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = draft(tmp_path, "--propensity", "chance")
    path = experiment.path / DECLARATION
    text = path.read_text(encoding="utf-8")
    assert check_experiment.main(["blocks"]) == 0
    path.write_text(text.replace('"chance"', '"age"'), encoding="utf-8")
    assert check_experiment.main(["blocks"]) == 1
    assert "holds no chance above 0 and below 1 in 4000 rows" in " ".join(
        capsys.readouterr().out.split()
    )
    share = experiment.declaration.arm("mail").share
    path.write_text(
        text.replace(f"share = {share}", "share = 0.5").replace(
            f"share = {round(1 - share, 6):g}", "share = 0.5"
        ),
        encoding="utf-8",
    )
    assert check_experiment.main(["blocks"]) == 1
    assert "does not fit the users' chances" in " ".join(capsys.readouterr().out.split())
