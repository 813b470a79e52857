"""A draft of a declaration: its guesses, its refusals, and that the written files load."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.commands.schema import SCHEMA, schema_text
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.onboarding import new_experiment
from dagster_project.onboarding.shares import find_shares
from uplift_core.errors import DataError, ExperimentError
from uplift_core.experiment.declaration import DECLARATION, Experiment, load_experiment
from uplift_core.experiment.naming import slug

N = 3_000
RNG = np.random.default_rng(5)
AGE = RNG.integers(18, 80, N)
COLUMNS: dict[str, object] = {
    "customer": np.arange(N),
    "age": AGE,
    "group": RNG.choice(["control", "mail"], N),
    "visit": RNG.integers(0, 2, N),
}


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", str(tmp_path / "own"))


def declare(tmp_path: Path, *options: str, **columns: object) -> Experiment:
    """Draft a declaration for a file with ``columns`` replaced, added or, if None, removed."""
    written_columns = {
        name: values for name, values in (COLUMNS | columns).items() if values is not None
    }
    path = tmp_path / "file.csv"
    pc.write_csv(pa.table(written_columns), path)
    new_experiment.main([str(path), "shop", *options])
    experiment = load_experiment(tmp_path / "own" / "shop")
    BatchExperiment.read(experiment, tmp_path / "own" / "shop")  # checks features.sql
    return experiment


def test_the_parts_are_found(tmp_path: Path) -> None:
    declaration = declare(tmp_path)
    assert (declaration.user_id, declaration.arm_column, declaration.control) == (
        "customer",
        "group",
        "control",
    )
    assert [(a.name, a.share) for a in declaration.arms] == [("control", 0.5), ("mail", 0.5)]
    assert [(o.name, o.kind) for o in declaration.outcomes] == [("visit", "binary")]
    assert declaration.propensities == "design"


def test_what_is_said_overrides_what_is_guessed(tmp_path: Path) -> None:
    wave = RNG.choice(["x", "y", "z"], N)
    options = ("--id", "row_number", "--arm", "wave", "--control", "y", "--outcome", "points")
    declaration = declare(tmp_path, *options, wave=wave, points=RNG.normal(size=N), group=None)
    assert (declaration.user_id, declaration.arm_column, declaration.control) == (
        "row_number",
        "wave",
        "y",
    )
    assert [(o.name, o.kind) for o in declaration.outcomes] == [("points", "continuous")]
    assert declaration.defaults.outcome == "points"


def test_as_many_gaps_as_there_are_raise_no_warning(tmp_path: Path) -> None:
    city = [None if i % 6 == 0 else ("Oslo", "Bergen", "Molde")[i % 3] for i in range(N)]
    rules = declare(tmp_path, city=city).features
    assert {name: rule.missing for name, rule in rules.items()} == {
        f"city_{name}": 0.2 for name in ("oslo", "bergen", "molde")
    }


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (RNG.integers(0, 9, N), "count"),
        (RNG.normal(size=N), "continuous"),
        (RNG.random(N) < 0.5, "binary"),
        (RNG.choice(["yes", "no"], N), "binary"),
    ],
    ids=["count", "continuous", "boolean", "words"],
)
def test_the_kind_of_an_outcome_comes_from_its_values(
    tmp_path: Path, values: np.ndarray, kind: str
) -> None:
    assert declare(tmp_path, visit=None, orders=values).outcomes[0].kind == kind


@pytest.mark.parametrize(
    ("options", "columns", "words"),
    [
        ((), {"group": None}, ["no column looks like the arm", "--arm", "out of scope"]),
        ((), {"group": ["mail"] * N}, ["'group' holds one arm only, 'mail'", "control"]),
        ((), {"visit": None}, ["no column looks like an outcome", "--outcome"]),
        ((), {"group": np.where(AGE > 60, "mail", "control")}, ["features predict", "'age' alone 1.00"]),
        ((), {"opened_x": COLUMNS["group"], "group": COLUMNS["group"]}, []),
        ((), {"reached": np.char.upper(COLUMNS["group"])}, ["features predict", "reached", "--ignore"]),
        ((), {"group": RNG.choice(["x", "y"], N)}, ["control? Pass --control", "x", "y"]),
        ((), {"customer": np.zeros(N, int)}, ["'customer' looks like", "one row must be one user"]),
        ((), {"visit": [None, *[0, 1] * (N // 2 - 1), 1]}, ["'visit'", "1 rows", "--missing-is-zero"]),
        ((), {"group": [None, *["control", "mail"] * (N // 2 - 1), "mail"]}, ["'group'", "1 rows"]),
        (("--arm", "nobody"), {}, ["--arm 'nobody'", "choose one of customer"]),
        (("--arm", "age"), {}, ["'age' holds", "more than 30 arms"]),
        (("--control", "nobody"), {}, ["--control 'nobody'", "mail"]),
        (("--outcome", "group"), {}, ["--outcome group"]),
        (("--ignore", "age"), {}, ["no column is left for the features"]),
    ],
)
def test_what_is_no_experiment_that_can_be_handled_is_refused(
    tmp_path: Path, options: tuple[str, ...], columns: dict[str, object], words: list[str]
) -> None:
    if not words:  # its name shows that it is from after the treatment
        assert "opened_x" in declare(tmp_path, *options, **columns).not_features
        return
    with pytest.raises(ExperimentError) as caught:
        declare(tmp_path, *options, **columns)
    assert [word for word in words if word not in str(caught.value)] == []
    assert not (tmp_path / "own" / "shop").exists()


@pytest.mark.parametrize("name", ["Shop", "registry", "1st", "my shop", ""])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExperimentError, match=f"NAME '{name}'.*try [a-z]"):
        new_experiment.main([str(tmp_path / "file.csv"), name])


@pytest.mark.parametrize("name", ["hillstrom", "hillstrom_population", "mail", "mail_population"])
def test_a_name_that_another_experiment_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Names of built-in and of your own experiments are taken, and `<name>_population` for tables."""
    other = tmp_path / "other"
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", f"{tmp_path / 'own'}{os.pathsep}{other}")
    (other / "mail").mkdir(parents=True)
    (other / "mail" / DECLARATION).touch()
    taken = re.escape(f"{os.sep}{name.removesuffix('_population')}")
    with pytest.raises(ExperimentError, match=f"NAME '{name}' is taken by .*{taken}; choose another"):
        new_experiment.main([str(tmp_path / "file.csv"), name])


def test_a_name_for_whose_population_there_is_an_experiment_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "own" / "shop_population"
    folder.mkdir(parents=True)
    (folder / DECLARATION).touch()
    with pytest.raises(ExperimentError, match=r"NAME 'shop' is taken by .*shop_population"):
        declare(tmp_path)


@pytest.mark.parametrize("value", ["inf", "-inf"])
@pytest.mark.parametrize("column", ["points", "spend"])
def test_infinite_numbers_are_refused(tmp_path: Path, column: str, value: str) -> None:
    """An infinite feature or outcome is refused, as the run's checks refuse it."""
    numbers = RNG.normal(size=N)
    numbers[[16, 40, 41]] = float(value)
    with pytest.raises(ExperimentError) as caught:
        declare(tmp_path, **{column: numbers})
    said = f"column '{column}' holds {value} in row 17 and 2 more"
    assert [word for word in (said, f"--ignore {column}") if word not in str(caught.value)] == []
    assert not (tmp_path / "own" / "shop").exists()
    assert column in declare(tmp_path, "--ignore", column, **{column: numbers}).not_features


def test_a_text_that_differs_for_every_user_may_be_the_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    numbers = {"customer": None, "Kunden Nr.": [f"K{i:05}" for i in range(N)]}
    hint = "'Kunden Nr.' differs for every user: pass --id if that is it"
    assert declare(tmp_path, **numbers).user_id == "row_number"
    assert hint in capsys.readouterr().out
    for options in (("--id", "Kunden Nr."), ("--id", "row_number")):
        shutil.rmtree(tmp_path / "own")
        assert declare(tmp_path, *options, **numbers).user_id == options[1]
        assert hint not in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    missing = r"there is no file .*missing\.csv; correct the path, relative to the working directory"
    with pytest.raises(DataError, match=missing):
        new_experiment.main([str(tmp_path / "missing.csv"), "shop"])
    (tmp_path / "file.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"file\.xlsx: is a spreadsheet; save its sheet as CSV"):
        new_experiment.main([str(tmp_path / "file.xlsx"), "shop"])


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    declare(tmp_path)
    with pytest.raises(ExperimentError, match="exists already; choose another NAME"):
        declare(tmp_path)


def test_names_of_any_kind_in_the_file(tmp_path: Path) -> None:
    odd = {
        'He said "no"': AGE % 7,
        "select": AGE % 5,
        "n": AGE % 3,
        "Größe 'x' */": AGE % 4,
        "a b": AGE % 2,
    }
    declaration = declare(tmp_path, **odd)
    sql = BatchExperiment.read(declaration, tmp_path / "own" / "shop").features_sql
    assert set(odd) <= set(sql.raw_columns)
    assert "n" not in sql.descriptions


@pytest.mark.parametrize(
    ("counts", "written"),
    [
        ({"a": 501, "b": 499}, ["0.5", "0.5"]),
        ({"a": 3334, "b": 3329, "c": 3337}, ['"1/3"', '"1/3"', '"1/3"']),
        ({"a": 8497, "b": 1503}, ["0.85", "0.15"]),
        ({"a": 6650, "b": 3350}, ['"2/3"', '"1/3"']),
        ({"a": 70_100, "b": 29_900}, ["0.7", "0.3"]),
    ],
)
def test_designs_are_recognized_by_their_counts(counts: dict[str, int], written: list[str]) -> None:
    shares = find_shares(counts)
    assert shares.designed
    assert list(shares.written.values()) == written


@pytest.mark.parametrize(
    ("counts", "written"),
    [
        ({"a": 4110, "b": 3890}, ["0.5", "0.5"]),  # p = .014
        ({"a": 1572, "b": 1428}, ["0.5", "0.5"]),  # nearer to halves than to 11 and 9 of 20
        ({"a": 1578, "b": 1422}, ["0.55", "0.45"]),  # here 11 and 9 of 20 are nearer; both p below .05
    ],
)
def test_less_likely_counts_are_of_the_nearest_design(
    counts: dict[str, int], written: list[str]
) -> None:
    shares = find_shares(counts)
    assert shares.designed
    assert list(shares.written.values()) == written


@pytest.mark.parametrize("users", [8_000, 200_000])
def test_a_fair_design_is_recognized_as_often_as_the_check_accepts_it(users: int) -> None:
    """``sample_ratio`` calls one fair experiment in a thousand a mismatch."""
    drawn = np.random.default_rng(1).binomial(users, 0.5, size=2_000)
    written = [find_shares({"a": int(a), "b": users - int(a)}).written["a"] for a in drawn]
    assert written.count("0.5") >= 0.995 * len(drawn)


def test_counts_of_no_design_are_estimates_that_add_up() -> None:
    shares = find_shares({"a": 612_345, "b": 200_000, "c": 187_655})
    assert not shares.designed
    assert sum(map(float, shares.written.values())) == pytest.approx(1, abs=1e-12)
    assert "the nearest, 0.6, 0.2, 0.2, has p = " in shares.why


def test_the_nearest_design_is_named_where_no_p_value_tells_them_apart() -> None:
    shares = find_shares({"control": 3_897_000, "treated": 21_412_483})
    assert not shares.designed
    assert "the nearest, 0.15, 0.85, has p = 0, less than 0.001" in shares.why


def test_estimated_shares_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declaration = declare(
        tmp_path, "--shares", "counted", group=np.where(np.arange(N) % 50 == 0, "control", "mail")
    )
    assert declaration.propensities == "estimate"
    said = " ".join(capsys.readouterr().out.split())
    assert "the design no longer guarantees" in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Spend ($)", "spend"),
        ("pastSpend", "past_spend"),
        ("10 % off", "x_10_off"),
        ("Größe cm", "groesse_cm"),
        ("Gro\u0308ße", "groesse"),  # as some systems write an umlaut: letter and mark
        ("ÜBER", "ueber"),
        ("ErlösNetto", "erloes_netto"),
        ("Straße Süd", "strasse_sued"),
        ("Tromsø", "tromso"),
        ("Café Łódź", "cafe_lodz"),
        ("gekauft?", "gekauft"),
        ("Цена", "x"),
        ("", "x"),
    ],
)
def test_slugs_are_names(text: str, expected: str) -> None:
    assert slug(text) == expected


@given(st.text())
def test_every_text_has_a_slug(text: str) -> None:
    assert re.fullmatch("[a-z][a-z0-9_]{0,39}", slug(text))


def test_the_published_schema_is_current() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "make schema"
