"""Draw any number of rows that look like Criteo's from 200,000 real ones.

    python -m bench.criteo_like --rows 5000000 --database criteo.duckdb

Rows are drawn with replacement; feature f2 comes from a second draw. Without the second draw, there
could be no more distinct combinations of features than rows in the sample, and cells would look better
than they are, since real rows bring new combinations at a steady rate. With it, 5M rows have 1.2M cells
of features and arm, which is the rate of 12M real rows with 2.4M cells.

A row's draws are the md5 of its number and the seed, so every machine draws the same rows in any order.
"""

from __future__ import annotations

import argparse
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb

SAMPLE = "criteo-v2.1-sample-200k.csv.gz"
FEATURES = tuple(f"f{number}" for number in range(12))
EXCHANGED = "f2"

# The arm is called w here; in Criteo's file it is 'treatment'.
LOAD_SAMPLE = """
create temp table sample as
select row_number() over () - 1 as sample_row, *
from read_csv($source, header = true, auto_detect = false, delim = ',', columns = {
    'f0': 'FLOAT', 'f1': 'FLOAT', 'f2': 'FLOAT', 'f3': 'FLOAT', 'f4': 'FLOAT', 'f5': 'FLOAT',
    'f6': 'FLOAT', 'f7': 'FLOAT', 'f8': 'FLOAT', 'f9': 'FLOAT', 'f10': 'FLOAT', 'f11': 'FLOAT',
    'treatment': 'UTINYINT', 'conversion': 'UTINYINT', 'visit': 'UTINYINT'
})
"""
DRAW = f"""
create table raw.criteo as
with draws as (
    select
        user_id,
        md5_number_lower($seed || '/row/' || user_id) % $sample_rows as drawn,
        md5_number_lower($seed || '/{EXCHANGED}/' || user_id) % $sample_rows as other
    from range(1, $rows + 1) as numbers (user_id)
)

select
    draws.user_id,
    drawn.* exclude (sample_row, treatment, visit, conversion)
        replace (other.{EXCHANGED} as {EXCHANGED}),
    drawn.treatment as w,
    drawn.visit,
    drawn.conversion
from draws
inner join sample as drawn on draws.drawn = drawn.sample_row
inner join sample as other on draws.other = other.sample_row
order by draws.user_id
"""


@dataclass(frozen=True)
class Look:
    """A summary of the rows: their number, distinct combinations of features, and shares."""

    rows: int
    combinations: int
    treated: float
    visits: float


def sample_path() -> Path:
    """Return the path of the real rows, in the folder that UPLIFT_DATA_DIR names."""
    folder = os.environ.get("UPLIFT_DATA_DIR", "")
    path = Path(folder) / SAMPLE
    if not folder or not path.is_file():
        raise SystemExit(f"{SAMPLE} is needed: set UPLIFT_DATA_DIR to the folder that holds it")
    return path


def generate(rows: int, seed: int, database: Path, parquet: Path | None = None) -> Look:
    """Write ``raw.criteo`` into a new DuckDB file: user_id, f0..f11, w, visit, conversion.

    Args:
        rows: number of rows.
        seed: seed of the draws.
        database: the DuckDB file; an older one is replaced when the new one is complete.
        parquet: Parquet file to write, too.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    unfinished = database.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    con = duckdb.connect(str(unfinished), config={"threads": 2})
    try:
        con.execute(LOAD_SAMPLE, {"source": str(sample_path())}).fetchall()
        (sample_rows,) = con.execute("select count(*) from sample").fetchall()[0]
        binds = {"seed": str(seed), "sample_rows": sample_rows, "rows": rows}
        con.execute("create schema raw").fetchall()
        con.execute(DRAW, binds).fetchall()
        look = _look(con)
        if parquet is not None:
            con.sql("select * from raw.criteo order by user_id").write_parquet(str(parquet))
    finally:
        con.close()
    shutil.move(unfinished, database)
    return look


def _look(con: duckdb.DuckDBPyConnection) -> Look:
    names = ", ".join(FEATURES)
    summary = con.execute(
        f"select count(*), (select count(*) from (select distinct {names} from raw.criteo)), "
        "avg(w), avg(visit) from raw.criteo"
    ).fetchall()
    return Look(*summary[0])


def main() -> None:
    """Write the rows and print their summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--database", type=Path, required=True, help="DuckDB file to write")
    parser.add_argument("--parquet", type=Path, help="Parquet file to write, too")
    given = parser.parse_args()
    look = generate(given.rows, given.seed, given.database, given.parquet)
    print(
        f"{look.rows:,} rows, {look.combinations:,} distinct combinations of raw features, "
        f"{look.treated:.3f} treated, {look.visits:.4f} visits"
    )


if __name__ == "__main__":
    main()
