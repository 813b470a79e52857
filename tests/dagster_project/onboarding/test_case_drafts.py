"""Drafts of the files that people bring: what is guessed, what is refused, and that no value is lost."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.onboarding import new_experiment
from dagster_project.warehouse.connection import Warehouse
from tests.support import case_file, memory_warehouse
from uplift_core.errors import DataError, ExperimentError
from uplift_core.experiment.declaration import RAW_SQL, Experiment, load_experiment


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of experiments."""
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", str(tmp_path / "experiments"))
    return tmp_path / "experiments"


def declare(root: Path, case: Path, *options: str) -> tuple[Experiment, Warehouse]:
    """Draft an experiment of a file; return its declaration, and a warehouse with its raw table."""
    new_experiment.main([str(case), "tried", *options])
    folder = root / "tried"
    BatchExperiment.read(load_experiment(folder), folder)
    db = memory_warehouse()
    sql = (folder / RAW_SQL).read_text()
    db.rows(f"create table raw.tried as {sql}", {"source": str(case)})
    return load_experiment(folder), db


def written(tmp_path: Path, columns: dict[str, list[str]]) -> Path:
    """A CSV file with these texts."""
    path = tmp_path / "file.csv"
    lines = [";".join(columns), *(";".join(row) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def ate(db: Warehouse, outcome: str, treated: str, control: str, arm: str = "group") -> float:
    sql = f'select avg({outcome}) filter ("{arm}" = $arm) from raw.tried'
    return db.one(sql, {"arm": treated})[0] - db.one(sql, {"arm": control})[0]


def test_decimals_that_begin_late_make_an_outcome_continuous(root: Path) -> None:
    declared, db = declare(root, case_file("late_decimals.csv.gz"))
    assert declared.outcome("revenue").kind == "continuous"
    total, decimals = db.one(
        "select sum(revenue), count(*) filter (revenue <> floor(revenue)) from raw.tried"
    )
    assert total == pytest.approx(66_499.25, abs=1e-6)
    assert decimals == 4_465
    assert ate(db, "revenue", "mail", "control") == pytest.approx(0.46132, abs=5e-6)


def test_decimals_that_begin_late_in_a_feature_are_kept(root: Path) -> None:
    case = case_file("late_decimals_in_feature.csv.gz")
    _, db = declare(root, case)
    changed = db.one(
        "select count(*), count(*) filter (file.loyalty_score::decimal(18, 6) <> tried.loyalty_score) "
        "from read_csv($source, all_varchar = true) as file join raw.tried as tried "
        "on tried.customer_id = file.customer_id::bigint",
        {"source": str(case)},
    )
    assert changed == (30_000, 0)


def test_a_later_file_with_decimals_is_not_rounded(root: Path, tmp_path: Path) -> None:
    declare(root, case_file("late_leading_zeros.csv.gz"))
    later = tmp_path / "later.csv"
    with memory_warehouse().con as con:
        con.execute(
            "copy (from read_csv($source, all_varchar = true) limit 10) to $later",
            {"source": str(case_file("late_leading_zeros.csv.gz")), "later": str(later)},
        )
        rows = later.read_text().splitlines()
        place = rows[0].split(",").index("age")
        cells = rows[1].split(",")
        later.write_text("\n".join([rows[0], ",".join([*cells[:place], "33.5", *cells[place + 1 :]])]))
        raw = (root / "tried" / RAW_SQL).read_text()
        assert con.execute(f"select age from ({raw})", {"source": str(later)}).fetchall() == [(33.5,)]


@pytest.mark.parametrize(
    ("case", "options", "arms"),
    [
        ("arms_0_1_2.csv.gz", (), {"0": "arm_0", "1": "arm_1", "2": "arm_2"}),
        ("arms_as_floats.parquet", ("--control", "0"), {"0.0": "arm_0", "1.0": "arm_1", "2.0": "arm_2"}),
        (
            "arms_minus_one_and_one.csv.gz",
            ("--control", "-1"),
            {"-1": "arm_minus_1", "1": "arm_1"},
        ),
    ],
)
def test_arms_in_numbers_have_readable_names(
    root: Path, case: str, options: tuple[str, ...], arms: dict[str, str]
) -> None:
    declared, db = declare(root, case_file(case), *options)
    assert {arm.value: arm.name for arm in declared.arms} == arms
    found = db.rows(f"select distinct {declared.arm_column}::varchar from raw.tried")
    assert {value for (value,) in found} == arms.keys()


def test_labels_that_differ_by_case_or_blanks_are_one_arm(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared, db = declare(root, case_file("dirty_arm_labels.csv.gz"), "--control", "Control ")
    assert [(arm.name, arm.share) for arm in declared.arms] == [("control", 0.5), ("mail", 0.5)]
    assert ate(db, "purchased", "mail", "control") == pytest.approx(0.08257, abs=5e-6)
    assert "7 spellings became 2" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_words_for_a_gap_leave_a_column_of_numbers(root: Path) -> None:
    case = case_file("null_as_text.csv.gz")
    with pytest.raises(ExperimentError, match=r"'revenue' has no value .* above 0 .*--missing-is-zero"):
        declare(root, case)
    declared, db = declare(root, case, "--missing-is-zero")
    assert "income" not in declared.not_features
    types = dict(row[:2] for row in db.rows("describe raw.tried"))
    assert {types[name] for name in ("income", "last_seen_days", "revenue")} == {"DOUBLE"}
    # In a table, because DuckDB would pass the cast to its reader, which stops at a word.
    texts = "create table texts as from read_csv($source, all_varchar = true)"
    db.rows(texts, {"source": str(case)})
    number = "try_cast(income as double)"
    gaps, total = db.one(f"select count(*) - count({number}), sum({number}) from texts")
    assert gaps > 0
    assert db.one("select count(*) - count(income), sum(income) from raw.tried") == (
        gaps,
        pytest.approx(total),
    )


def test_nan_in_an_outcome_is_a_gap(root: Path) -> None:
    with pytest.raises(ExperimentError, match="'revenue' has no value in"):
        declare(root, case_file("nan_outcome.parquet"))
    _, db = declare(root, case_file("nan_outcome.parquet"), "--missing-is-zero")
    assert db.one("select count(*) filter (isnan(revenue)), count(revenue) from raw.tried") == (0, 9_000)


def test_gaps_that_differ_by_arm_are_told_as_attrition(root: Path) -> None:
    with pytest.raises(ExperimentError, match=r"control 14\.6%, mail 33\.7%; p = .*attrition.*biases"):
        declare(root, case_file("attrition_gaps.csv.gz"))


def test_shares_of_no_usual_design_need_the_plan(root: Path) -> None:
    case = case_file("attrition_dropped.csv.gz")
    with pytest.raises(ExperimentError, match=r"no simple design fits.*--shares 'control=1/2 mail=1/2'"):
        declare(root, case)
    with pytest.raises(ExperimentError, match=r"sample ratio mismatch: .*attrition"):
        declare(root, case, "--shares", "control=1/2 mail=1/2")
    with pytest.raises(ExperimentError, match="must name every arm"):
        declare(root, case, "--shares", "control=1/2")
    assert not (root / "tried").exists()


def test_a_plan_that_fits_is_declared(root: Path) -> None:
    declared, _ = declare(root, case_file("late_decimals.csv.gz"), "--shares", "control=.5, mail=1/2")
    assert [arm.share for arm in declared.arms] == [0.5, 0.5]
    assert declared.propensities != "estimate"


def test_an_outcome_in_words_is_the_same_outcome(root: Path, tmp_path: Path) -> None:
    effects = []
    for name in ("outcome_ja_nein", "outcome_y_blank", "outcome_in_words"):
        declared, db = declare(root, case_file(f"{name}.csv.gz"))
        assert declared.outcome("converted").kind == "binary"
        effects.append(ate(db, "converted", "mail", "control"))
        (root / "tried").rename(tmp_path / name)
    assert effects == [effects[0]] * 3
    declared, db = declare(root, case_file("outcome_in_words.csv.gz"), "--yes", "not purchased")
    assert ate(db, "converted", "mail", "control") == pytest.approx(-effects[0])


def test_two_words_without_a_known_meaning_are_asked_about(root: Path, tmp_path: Path) -> None:
    rows = 400
    path = written(
        tmp_path,
        {
            "customer_id": [str(i) for i in range(rows)],
            "age": [str(20 + i * 7 % 50) for i in range(rows)],
            "group": ["control", "mail"] * (rows // 2),
            "churn": ["kept", "left", "left", "kept"] * (rows // 4),
        },
    )
    with pytest.raises(ExperimentError, match=r"'churn' .*'kept' and 'left'; pass --yes"):
        declare(root, path)
    declared, db = declare(root, path, "--yes", "left")
    assert db.one("select sum(churn) from raw.tried") == (rows / 2,)
    assert declared.outcomes[0].kind == "binary"


def test_groups_that_were_assigned_as_a_whole_are_the_cluster(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared, db = declare(root, case_file("households.csv.gz"))
    assert declared.cluster == "household_id"
    assert declared.decision_unit == "cluster"
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert 'Written: cluster = "household_id"' in shown
    assert "(3,000 groups of 8.0 users)" in shown
    features = BatchExperiment.read(declared, root / "tried").features_sql
    assert "household_id" not in features.raw_columns
    outcome = declared.defaults.outcome
    arms = {arm.name: arm.value for arm in declared.arms}
    treated = arms[declared.treatments[0]]
    effect = ate(db, outcome, treated, arms[declared.control], declared.arm_column)
    assert effect == pytest.approx(0.22717, abs=5e-6)


def test_a_cluster_can_be_named_and_denied(root: Path, tmp_path: Path) -> None:
    case = case_file("households.csv.gz")
    # Of users, 51.5 % have the mail: no halves. Of households they are halves.
    with pytest.raises(ExperimentError, match="no simple design fits"):
        declare(root, case, "--cluster", "none")
    declared, _ = declare(root, case, "--cluster", "none", "--shares", "counted")
    assert not declared.cluster
    (root / "tried").rename(tmp_path / "denied")
    with pytest.raises(ExperimentError, match="--cluster 'nobody' is no column of the file"):
        declare(root, case, "--cluster", "nobody")
    arm = declared.arm_column
    with pytest.raises(ExperimentError, match=f"--cluster '{arm}' is the id, the arm, an outcome or"):
        declare(root, case, "--cluster", arm)
    declared, _ = declare(root, case, "--cluster", "household_id")
    assert declared.cluster == "household_id"


def test_the_largest_of_nested_groups_is_the_cluster_as_it_is_written(
    root: Path, tmp_path: Path
) -> None:
    """60 stores, households of two within them; stores with leading zeros, of unequal sizes."""
    rng = np.random.default_rng(5)
    store = np.repeat(np.arange(60), rng.integers(10, 60, 60) * 2)
    rows = len(store)
    arms = rng.permutation(np.arange(60) % 2)[store]
    columns = {
        "customer_id": [f"c{i}" for i in range(rows)],
        "home": [str(i // 2) for i in range(rows)],
        "store": [f"0{s}" for s in store],
        "size": [str(s * 37 % 41) for s in store],  # shared by all users of a store
        "age": rng.integers(20, 70, rows).astype(str).tolist(),
        "group": ["mail" if arm else "control" for arm in arms],
        "visit": rng.integers(0, 2, rows).astype(str).tolist(),
    }
    declared, db = declare(root, written(tmp_path, columns))
    assert declared.cluster == "store"
    assert [arm.share for arm in declared.arms] == [0.5, 0.5]
    assert db.one("select min(store), count(distinct store) from raw.tried") == ("00", 60)
    columns["store"][7] = ""
    (root / "tried").rename(tmp_path / "whole")
    with pytest.raises(ExperimentError, match=r"'store': it is the cluster .* 1 users have no value"):
        declare(root, written(tmp_path, columns))


def test_an_outcome_of_one_arm_is_not_the_default(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared, _ = declare(root, case_file("clicks_in_one_arm.csv.gz"))
    assert declared.defaults.outcome == "purchased"
    assert "'clicked' happened in arm 'mail' only" in " ".join(capsys.readouterr().out.split())


def test_decimal_commas_row_numbers_and_ids_are_seen(root: Path, tmp_path: Path) -> None:
    rows = 600
    path = written(
        tmp_path,
        {
            "customer_id": [f"c{i}" for i in range(rows)],
            "rownames": [str(i) for i in range(rows)],
            "nr": [str(i + 7) for i in range(rows)],
            "store_id": [str(i * 31 % 97) for i in range(rows)],
            "zip": [f"0{1000 + i * 37 % 53}" for i in range(rows)],
            "price": [f"{i * 13 % 70},{5 * (i % 2)}" if i % 9 else "n/a" for i in range(rows)],
            "points": [f"{1 + i % 3},{100 + i % 9}" for i in range(rows)],
            "group": ["control", "mail", "mail", "control"] * (rows // 4),
            "visit": [str(i * 7 % 5 // 3) for i in range(rows)],
        },
    )
    declared, db = declare(root, path)
    types = dict(row[:2] for row in db.rows("describe raw.tried"))
    assert (types["price"], types["points"]) == ("DOUBLE", "VARCHAR")
    assert db.one("select price, typeof(zip) from raw.tried order by user_id limit 1")[1] != "DOUBLE"
    assert db.one("select max(price), count(*) - count(price) from raw.tried") == (
        max(i * 13 % 70 + 0.5 * (i % 2) for i in range(rows) if i % 9),
        67,
    )
    features = BatchExperiment.read(declared, root / "tried").features_sql.raw_columns
    assert not {"rownames", "nr", "store_id"} & set(features)


def test_a_draft_is_made_again_only_by_force_and_keeps_what_was_there(root: Path) -> None:
    case = case_file("late_decimals.csv.gz")
    declare(root, case)
    toml = root / "tried" / "experiment.toml"
    toml.write_text(toml.read_text().replace("budget = 0.3", "budget = 0.2"))
    (root / "tried" / "population.sql").write_text("mine")
    with pytest.raises(ExperimentError, match=r"exists already; .*pass --force"):
        declare(root, case)
    with pytest.raises(ExperimentError, match="no column of the file"):
        declare(root, case, "--force", "--arm", "nobody")
    assert "budget = 0.2" in toml.read_text()
    declared, _ = declare(root, case, "--force", "--ignore", "age")
    assert declared.defaults.budget == 0.3
    assert "budget = 0.2" in (root / "tried" / "experiment.toml.before").read_text()
    assert (root / "tried" / "population.sql").read_text() == "mine"
    assert [path.name for path in root.iterdir()] == ["tried"]


def opened_mails(tmp_path: Path) -> Path:
    """An e-mail that 60 % of those open who get it; `seen` says so in words, `opens` in a number."""
    rng = np.random.default_rng(3)
    rows = 2_000
    mailed = rng.random(rows) < 0.5
    reached = mailed & (rng.random(rows) < 0.6)
    return written(
        tmp_path,
        {
            "customer_id": [f"c{i}" for i in range(rows)],
            "age": [str(age) for age in rng.integers(18, 80, rows)],
            "group": np.where(mailed, "mail", "control").tolist(),
            "opened": reached.astype(int).astype(str).tolist(),
            "seen": np.where(reached, "yes", "no").tolist(),
            "purchased": (rng.random(rows) < 0.2 + 0.1 * reached).astype(int).astype(str).tolist(),
        },
    )


def test_columns_that_say_whom_the_treatment_reached_are_named_and_no_features(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared, _ = declare(root, opened_mails(tmp_path))
    assert declared.exposure == ""
    assert set(declared.not_features) == {"opened", "seen"}
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "exposure?" in told
    for word in ("0.0% of control", "it seems to", "--exposure"):
        assert told.count(word) == 2, word


@pytest.mark.parametrize("column", ["opened", "seen"])
def test_a_named_exposure_is_declared_as_0_and_1(root: Path, tmp_path: Path, column: str) -> None:
    declared, db = declare(root, opened_mails(tmp_path), "--exposure", column)
    assert declared.exposure == column
    assert column in declared.forbidden_columns
    assert column not in declared.not_features
    values = dict(
        db.rows(f'select "group", avg({column}::double) between 0.5 and 0.7 from raw.tried group by 1')
    )
    assert values == {"mail": True, "control": False}
    with pytest.raises(ExperimentError, match="--exposure age: BIGINT with"):
        declare(root, opened_mails(tmp_path), "--force", "--exposure", "age")


def test_a_sampling_weight_is_declared_and_no_feature(root: Path, tmp_path: Path) -> None:
    file = opened_mails(tmp_path)
    lines = file.read_text(encoding="utf-8").splitlines()
    weights = ["stands_for", *["1.5", "4"] * 1_000]
    heavy = [f"{line};{weight}" for line, weight in zip(lines, weights, strict=True)]
    file.write_text("\n".join(heavy) + "\n", encoding="utf-8")
    declared, db = declare(root, file, "--weight", "stands_for", "--exposure", "opened")
    assert declared.weight == "stands_for"
    assert "stands_for" in declared.forbidden_columns
    assert db.one("select sum(stands_for) from raw.tried") == (5_500,)
    with pytest.raises(ExperimentError, match="--weight group: must be a number of 0 or more"):
        declare(root, file, "--force", "--weight", "group")


@pytest.mark.parametrize(
    ("name", "encoding", "says"),
    [
        ("file.csv", "latin-1", "is not encoded in UTF-8; convert it, such as by iconv -f LATIN1"),
        ("file.csv", "utf-16", "is not encoded in UTF-8"),
        ("file.csv.gz", "latin-1", "is not encoded in UTF-8"),
        ("file.xlsx", "utf-8", "is a spreadsheet; save its sheet as CSV"),
        ("file.XLSX", "utf-8", "is a spreadsheet"),
        ("file.feather", "utf-8", "is an Arrow file; write it as Parquet"),
        ("file.arrow", "utf-8", "is an Arrow file"),
    ],
)
def test_files_of_other_kinds_are_refused_in_one_line(
    root: Path, tmp_path: Path, name: str, encoding: str, says: str
) -> None:
    text = "customer_id;town;group;purchased\n" + "1;K\u00f6ln;control;0\n2;Bern;mail;1\n" * 3
    content = text.encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(DataError, match=says) as refused:
        declare(root, tmp_path / name)
    assert "\n" not in str(refused.value)
