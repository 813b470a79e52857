"""The SQL of a bundle reads the request alone, writes nothing, and ends."""

from __future__ import annotations

import time
from pathlib import Path

import duckdb
import pytest

from serve.features import FeatureQuery
from serve.time_limit import Watch
from tests.serve.support import manifest_of
from uplift_core.artifacts.bundle import Manifest, RawColumn
from uplift_core.errors import BundleError

GOOD = "select user_id, a::float as f from raw.simulated"
# What it tries -> the reason why it is refused.
HOSTILE = {
    f"{GOOD}; copy (select 1) to '{{file}}'": "has the statements SELECT, COPY",
    f"copy ({GOOD}) to '{{file}}'": "has the statements COPY",
    f"{GOOD}; attach '{{file}}'": "has the statements SELECT, ATTACH",
    f"attach '{{file}}'; {GOOD}": "has the statements ATTACH, SELECT",
    f"install httpfs; {GOOD}": "has the statements LOAD, SELECT",
    f"set threads = 64; {GOOD}": "has the statements SET, SELECT",
    f"create table t as {GOOD}": "has the statements CREATE",
    f"export database '{{file}}'; {GOOD}": "has the statements EXPORT, SELECT",
    "": "has the statements none",
    "this is no SQL": "does not parse",
    f"{GOOD} where exists (from read_csv('/etc/passwd'))": r"reads read_csv\(\)",
    f"{GOOD}, read_text('/etc/passwd')": r"reads read_text\(\)",
    f"{GOOD}, '/etc/passwd'": "reads /etc/passwd",
    f"{GOOD} where (select count(*) from glob('/*')) > 0": r"reads glob\(\)",
    f"{GOOD}, duckdb_settings()": r"reads duckdb_settings\(\)",
    f"{GOOD}, information_schema.tables": "reads information_schema.tables",
    f"{GOOD}, raw.other": "reads raw.other",
    f"with c as (from request_rows) {GOOD}, c": "reads request_rows",
    f"{GOOD}, (describe select 1)": "reads from a SHOW_REF",
    f"{GOOD}, query('select 1')": r"reads query\(\)",
    f"select user_id, length(repeat('x', 2000000000))::float as f from ({GOOD})": r"calls repeat\(\)",
    f"{GOOD}, range(10000000000) as one, range(10000000000) as two": r"reads range\(\)",
    f"with recursive t as (select 1 as n union all select n + 1 from t) {GOOD}, t": "is recursive",
}
# It reads what it may, and never ends: 10^12 rows of nothing.
TEN = "(values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9))"
ENDLESS = "select user_id, (select count(*) from {}) + a as f from raw.simulated".format(
    ", ".join(f"{TEN} as t{i}" for i in range(12))
)


@pytest.fixture(scope="module")
def manifest(simulated_served: Path) -> Manifest:
    return manifest_of(simulated_served, "simulated")


def load(manifest: Manifest, sql: str) -> FeatureQuery:
    raw = (RawColumn(name="a", type="DOUBLE"),)
    update = {"features_sql": sql, "features": ("f",), "raw_columns": raw}
    return FeatureQuery(manifest.model_copy(update=update))


@pytest.mark.parametrize("sql", HOSTILE)
def test_hostile_sql_is_refused_before_it_runs(manifest: Manifest, tmp_path: Path, sql: str) -> None:
    with pytest.raises(BundleError, match=HOSTILE[sql]):
        load(manifest, sql.format(file=tmp_path / "written"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "sql",
    [
        f"{GOOD};",
        f"with c as ({GOOD}) select user_id, f from c",
        f"select user_id, f from ({GOOD} union all {GOOD} limit 0)",
        "select user_id, (select sum(x) from (select unnest([a, 1]) as x)) as f from raw.simulated",
        f"select user_id, b as f from ({GOOD}) left join (values (1.0, 2)) as k (f, b) using (f)",
    ],
)
def test_a_select_from_the_request_is_run(manifest: Manifest, sql: str) -> None:
    assert load(manifest, sql).names == ("f",)


def test_sql_that_never_ends_is_ended(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.features.SECONDS_TO_LOAD", 0.5)
    began = time.monotonic()
    with pytest.raises(BundleError, match=r"takes longer than 0\.5 s for no user"):
        load(manifest, ENDLESS)
    assert time.monotonic() - began < 20


def test_memory_is_limited(manifest: Manifest) -> None:
    hundred_million = ", ".join(f"{TEN} as t{i}" for i in range(8))
    sql = f"select user_id, len((select list(t0::varchar || t1) from {hundred_million})) + a as f "
    with pytest.raises(BundleError, match="does not run: Out of Memory"):
        load(manifest, f"{sql} from raw.simulated")


def test_a_watch_ends_what_runs_too_long_and_nothing_else() -> None:
    watch = Watch()
    with duckdb.connect(":memory:") as con:
        with watch.limited(con, 60):
            assert con.execute("select count(*) from range(1000000)").fetchall() == [(1_000_000,)]
        endless = "select count(*) from range(1000000) as a, range(1000000) as b where a.range < b.range"
        with pytest.raises(duckdb.InterruptException), watch.limited(con, 0.3):
            con.execute(endless).fetchall()
        assert con.execute("select 1").fetchall() == [(1,)]
