"""Every kind of bad data fails its check; the published snapshot stays unchanged."""

from __future__ import annotations

import csv
import gzip
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.job_runs import failure
from tests.support import TO_PUBLISHED, failure_text, folder_of, opened, run_job
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer
from uplift_core.experiment.declaration import FEATURES_SQL, RAW_SQL
from uplift_core.experiment.quality_limits import QualityLimits
from uplift_core.experiment.sources import OwnFile, Published

USERS = 6_000
LAYERS = ("raw", "features", "assignment", "cells", "models", "scores")
TABLES = {"cells": "training.hillstrom_cells"}  # tables of layers that have no schema
Rows = list[dict[str, str]]
Edit = Callable[[Rows], Rows | None]


@dataclass(frozen=True)
class Case:
    """An edit that makes rows bad, and its message; ``check`` is empty for an unreadable file."""

    edit: Edit
    check: str
    words: tuple[str, ...]
    warns: bool = False
    features: tuple[str, str] = ("", "")  # a text of features.sql and its replacement
    declared: tuple[str, ...] = ()  # keys to remove from the declaration
    published: Published | None = None


def each(column: str, value: Callable[[dict[str, str], int], object]) -> Edit:
    """Change a column's value in every row; None leaves it unchanged."""

    def edit(rows: Rows) -> Rows:
        for i, row in enumerate(rows):
            new_value = value(row, i)
            row[column] = row[column] if new_value is None else str(new_value)
        return rows

    return edit


def one(column: str, value: object, place: int = 41) -> Edit:
    """Change a column's value in one row."""
    return each(column, lambda _, i: value if i == place else None)


def without(column: str) -> Edit:
    """Remove a column from the file."""
    return lambda rows: [{k: v for k, v in row.items() if k != column} for row in rows]


def only(keep: Callable[[dict[str, str], int], bool]) -> Edit:
    """Keep only some rows."""
    return lambda rows: [row for i, row in enumerate(rows) if keep(row, i)]


def _interaction(row: dict[str, str], i: int) -> object:
    """Keep the means equal, but let mens and womens together predict the arm."""
    if row["segment"] == "Womens E-Mail":
        return row["womens"]
    return None if row["segment"] == "Mens E-Mail" else 1 - int(row["womens"])


CASES = {
    "a column is missing": Case(without("visit"), "", ("visit", "file.csv")),
    "text among numbers": Case(one("recency", "often"), "", ("often", "file.csv")),
    "an arm too many": Case(
        one("segment", "Kids E-Mail"), "raw, check arms", ("'segment'", "Kids E-Mail", "user_id 42")
    ),
    "no arm": Case(one("segment", ""), "raw, check arms", ("'segment'", "user_id 42")),
    "a user twice": Case(
        one("customer", 7), "raw, check keys", ("'rows_of_key' holds 2 at user_id 7", "is unique")
    ),
    "a user without id": Case(one("customer", ""), "raw, check keys", ("'user_id'", "missing")),
    "no outcome": Case(one("visit", ""), "raw, check outcomes", ("'visit'", "user_id 42", "0 or 1")),
    "an outcome of 2": Case(one("visit", 2), "raw, check outcomes", ("'visit'", "holds 2")),
    "an infinite outcome": Case(
        one("spend", "inf"), "raw, check outcomes", ("'spend'", "holds inf", "finite")
    ),
    "an outcome that is no number": Case(
        one("spend", "nan"), "raw, check outcomes", ("'spend'", "holds nan", "finite")
    ),
    "conversion without visit": Case(
        lambda rows: one("conversion", 1, _place(rows, "visit", "0"))(rows),
        "raw, check outcomes",
        ("'visit'", "holds 0", "'conversion'"),
    ),
    "a new category": Case(
        one("zip_code", "Lunar"), "raw, check columns", ("'zip_code'", "holds Lunar", "'Urban'")
    ),
    "a value out of range": Case(
        one("recency", 99), "raw, check columns", ("'recency'", "holds 99", "from 1 to 12")
    ),
    "a value that is missing": Case(one("channel", ""), "raw, check columns", ("'channel'", "missing")),
    "rows not as published": Case(
        lambda rows: rows, "raw, check published", (f"found {USERS}", "64,000"),
        published=Published(rows=64_000),
    ),
    "a rate not as published": Case(
        lambda rows: rows, "raw, check published", ("'visit'", "published mean 0.247"),
        published=Published(rows=USERS, means={"visit": "0.247"}),
    ),
    "outcomes too young": Case(
        lambda rows: rows, "raw, check maturity", ("'assigned'", "14 days"),
        features=("", "young"),
    ),
    "an infinite feature": Case(
        one("history", "inf"), "features, check values", ("'history'", "holds inf"),
        declared=("columns",),
    ),
    "users without features": Case(
        lambda rows: rows, "features, check keys", (f"{USERS} users", "features.sql"),
        features=("from raw.hillstrom", "from raw.hillstrom where recency > 3"),
    ),
    "features that are missing": Case(
        each("recency", lambda _, i: "" if i % 3 == 0 else None),
        "features, check missing", ("'recency'", "known"), warns=True, declared=("columns",),
    ),
    "a feature that moved": Case(
        each("history", lambda row, _: float(row["history"]) * 2 + 100),
        "features, check drift", ("'history'", "moved"), warns=True,
    ),
    "an outcome that never happens": Case(
        each("conversion", lambda *_: 0),
        "assignment, check outcomes", ("'conversion'", "found 0"),
    ),
    "sixty to forty": Case(
        only(lambda row, i: row["segment"] != "No E-Mail" or i % 3 > 0),
        "assignment, check sample_ratio", ("'arm'", "'none'", "0.3333 were designed"),
    ),
    "a feature that leaks the outcome": Case(
        each("history", lambda row, i: 500 * int(row["visit"]) + i % 50),
        "cells, check leakage", ("'history'", "'visit'", "contains the outcome"),
    ),
    "a feature that follows the arm": Case(
        each("recency", lambda row, _: 12 if row["segment"] == "Womens E-Mail" else None),
        "cells, check balance", ("'recency'", "'womens'", "standard deviations"),
    ),
    "features that tell the arm together": Case(
        lambda rows: each("mens", _interaction)(_coins(rows)),
        "cells, check predictability", ("'arm'", "'womens'", "AUC"),
    ),
}  # fmt: skip


def _place(rows: Rows, column: str, value: str) -> int:
    return next(i for i, row in enumerate(rows) if row[column] == value)


def _coins(rows: Rows) -> Rows:
    """Set two features to random values."""
    coin = random.Random(1)  # noqa: S311 - no secret
    for row in rows:
        row["mens"], row["womens"] = (str(coin.randint(0, 1)) for _ in range(2))
    return rows


@pytest.fixture(scope="module")
def good(hillstrom_file: Path) -> Rows:
    """The first customers of the real file, with added ids."""
    with hillstrom_file.open(encoding="ascii", newline="") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(USERS), strict=False)]
    return [{"customer": str(i), **row} for i, row in enumerate(rows, 1)]


def written(rows: Rows, path: Path) -> Path:
    """Write the rows as CSV."""
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def hillstrom_on(path: Path, folder: Path, case: Case | None = None) -> BatchExperiment:
    """Return Hillstrom's declaration with ids from the file, for another file."""
    base = folder_of("hillstrom")
    shutil.copytree(base.path, folder)
    raw, features = folder / RAW_SQL, folder / FEATURES_SQL
    young = bool(case and case.features[1] == "young")
    ids = "customer::bigint as user_id" + (f", timestamp '{_recently()}' as assigned" if young else "")
    raw.write_text(raw.read_text().replace("row_number() over () as user_id", ids))
    changes: dict[str, object] = {"source": OwnFile(kind="own_file", path=path)}
    if case:
        if case.features[0]:
            features.write_text(features.read_text().replace(*case.features))
        changes |= {key: {} for key in case.declared}
        changes["published"] = case.published
        if young:
            changes |= {"assigned_at": "assigned", "quality": QualityLimits(outcome_days=14)}
    return BatchExperiment.read(base.declaration.model_copy(update=changes), folder)


def _recently() -> str:
    return (datetime.now(UTC) - timedelta(days=3)).strftime("%Y-%m-%d %H:%M:%S")


@pytest.fixture(scope="module")
def published(good: Rows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has published the good rows."""
    folder = tmp_path_factory.mktemp("good")
    on_good = hillstrom_on(written(good, folder / "file.csv"), folder / "hillstrom")
    run_job(on_good, folder / "home", only=TO_PUBLISHED)
    return folder / "home"


def what_stands(home: Path) -> tuple[object, ...]:
    """Return the published snapshot, and the rows of later layers."""
    with opened(Home(home)) as db:
        models = db.rows("select model_version from models.registry order by all")
        scores = db.one("select count(*), bit_xor(hash(columns(*))) from scores.hillstrom")
        return read_pointer(home / "published"), models, scores


def layer_in(home: Path, layer: str) -> tuple[object, ...]:
    """Return the warehouse's rows of a checked layer, and of its provenance."""
    table = TABLES.get(layer, f"{layer}.hillstrom")
    with opened(Home(home)) as db:
        rows = db.one(f"select count(*), bit_xor(hash(columns(*))) from {table}")
        lineage = db.rows("from quality.lineage where layer = $layer order by all", {"layer": layer})
        return rows, lineage, db.rows("from raw.registry")


@pytest.mark.parametrize("name", CASES)
def test_bad_data_is_stopped_by_the_check_that_is_there_for_it(
    name: str, good: Rows, published: Path, tmp_path: Path
) -> None:
    case, home = CASES[name], tmp_path / "home"
    shutil.copytree(published, home)
    checked = case.check.partition(",")[0] or "raw"
    before, refused = what_stands(home), layer_in(home, checked)
    rows = case.edit([dict(row) for row in good])
    folder = hillstrom_on(written(rows, tmp_path / "file.csv"), tmp_path / "hillstrom", case)
    layers = ("raw", "features") if case.warns else LAYERS
    result = run_job(folder, home, only=layers, raise_on_error=False)
    failed = [c for c in result.get_asset_check_evaluations() if not c.passed]
    assert result.success == case.warns, failure(result)
    if case.check:
        said = {f"{c.asset_key.path[-1]}, check {c.check_name}": str(c.description) for c in failed}
        assert case.check in said
        text = said[case.check]
    else:
        step, text = failure(result)
        assert step == "hillstrom__raw"
    assert [word for word in case.words if word not in text] == []
    assert what_stands(home) == before
    if not case.warns:  # the warehouse lacks the refused rows, too, and the failed step names the reason
        assert layer_in(home, checked)[:2] == refused[:2]
        assert checked != "raw" or layer_in(home, checked) == refused
        assert [word for word in case.words if word not in failure_text(result)] == []


@pytest.mark.parametrize("content", [b"", b"customer,recency\r\n"], ids=["empty", "header only"])
def test_a_file_without_rows_is_refused(content: bytes, published: Path, tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_bytes(content)
    folder = hillstrom_on(tmp_path / "file.csv", tmp_path / "hillstrom")
    result = run_job(folder, tmp_path / "home", only=LAYERS, raise_on_error=False)
    assert not result.success
    assert "file.csv" in failure(result)[1]


def test_half_a_gz_is_refused(good: Rows, tmp_path: Path) -> None:
    whole = gzip.compress(written(good, tmp_path / "whole.csv").read_bytes())
    (tmp_path / "file.csv.gz").write_bytes(whole[: len(whole) // 2])
    folder = hillstrom_on(tmp_path / "file.csv.gz", tmp_path / "hillstrom")
    result = run_job(folder, tmp_path / "home", only=LAYERS, raise_on_error=False)
    step, text = failure(result)
    assert (step, "file.csv.gz" in text) == ("hillstrom__raw", True)


def test_columns_in_another_order_are_the_same_data(good: Rows, published: Path, tmp_path: Path) -> None:
    shuffled = [dict(reversed(row.items())) for row in good]
    folder = hillstrom_on(written(shuffled, tmp_path / "file.csv"), tmp_path / "hillstrom")
    result = run_job(folder, tmp_path / "home", only=("raw", "features"), raise_on_error=False)
    assert result.success, failure(result)
    every = "select count(*), bit_xor(hash(columns(*))) from features.hillstrom"
    with opened(Home(tmp_path / "home")) as mine, opened(Home(published)) as first:
        assert mine.one(every) == first.one(every)


def test_the_real_criteo_sample_raises_no_alarm(criteo_home: Path) -> None:
    """The published file's covariates are known to differ by up to .05 standard deviations by arm."""
    with opened(Home(criteo_home)) as db:
        (checks,) = db.one("select count(distinct (table_name, check_name)) from quality.results")
        alarms = db.rows("select table_name, message from quality.results where not passed")
        (largest,) = db.one(
            "select max(abs(value::double)) from quality.results where check_name = 'balance'"
        )
    assert checks > 15
    assert alarms == []
    assert 0.04 < largest < 0.06
