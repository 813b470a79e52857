"""All problems of an experiment are told at once, without a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dagster_project.onboarding import check_experiment, new_experiment
from tests.dagster_project.declared.test_wrong_declarations import FEATURES, LISTED, TOML, write
from tests.support import case_file
from uplift_core.errors import ExperimentError


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of experiments."""
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", str(tmp_path))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Check the experiment; return its problems."""
    code = check_experiment.main(["shop"])
    *problems, summary = capsys.readouterr().out.splitlines()
    assert code == bool(problems)
    assert summary.startswith(f"shop: {len(problems) or 'no'} problem")
    return problems


def test_a_right_experiment_has_no_problem(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root)
    assert told(capsys) == []
    new_experiment.main([str(case_file("households.csv.gz")), "drafted"])
    assert check_experiment.main(["drafted"]) == 0


def test_problems_are_told_as_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root, TOML.replace('title = "Shop"', 'titel = "Shop"'))
    problems = told(capsys)
    assert check_experiment.main(["shop", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["experiment"] == "shop"
    assert [f"- {problem}" for problem in answer["problems"]] == problems


def test_all_wrong_keys_are_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = TOML.replace('title = "Shop"', 'titel = "Shop"').replace("share = 0.5", "share = 50")
    write(root, toml.replace('kind = "binary"', 'kind = "flag"'))
    problems = told(capsys)
    for words in ("'title' is missing", "'titel'", "arms.0.share", "arms.1.share", "outcomes.0.kind"):
        assert sum(words in problem for problem in problems) == 1, problems


def test_problems_of_features_files_and_rows_are_told_together(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = (
        "select user_id, visit::float as fold, random()::float, customer::float as c from raw.other"
    )
    toml = LISTED.replace('value = "M"', 'value = "Mail"').replace(
        'control = "none"', 'control = "none"\ncluster = "city"'
    )
    raw = "select customer::bigint as user_id, *, if(customer = 8, null, 'x') as city, "
    raw += "visit + 1 as visits from read_csv($source)"
    toml = toml.replace('kind = "binary"', 'kind = "binary"\ncolumn = "visits"')
    write(root, toml, raw, features)
    problems = told(capsys)
    for words in (
        *("reads raw.other", "has no name", "'fold' is a column of the cells", "calls random()"),
        *("reads 'customer'", "population.path = 'crm.csv'"),
        *("holds 'M' in 2 rows", "holds 'Mail' in no row", "'visit' is not 0 or 1 in 1 rows"),
        "cluster = 'city' is missing in 1 rows",
    ):
        assert sum(words in problem for problem in problems) == 1, (words, problems)


def test_all_columns_that_are_missing_are_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = TOML.replace('arm_column = "grp"', 'arm_column = "arms"\ncluster = "home"')
    write(root, toml.replace("[tables.past]", '[decisions]\ncost_column = "postage"\n\n[tables.past]'))
    problems = told(capsys)
    assert [[word in problem for word in ("'arms'", "'home'", "'postage'")] for problem in problems] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


def test_one_problem_hides_only_what_depends_on_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root, raw="select nobody from read_csv($source)", features=FEATURES.replace("age", "visit"))
    problems = told(capsys)
    assert len(problems) == 2
    assert "reads 'visit'" in problems[0]
    assert "cannot be read by raw.sql" in problems[1]


def test_a_name_without_a_folder_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"NAME 'shop': no experiment .* hillstrom"):
        check_experiment.main(["shop"])
