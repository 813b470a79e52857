"""The library from the built wheel, in an empty environment and folder, on Hillstrom's customers.

    python -m bench.library --data FOLDER [--home HOME]

Builds the wheel, installs it with its extra ``library`` and pandas into a new environment, and runs the
three lines of docs/library.md there. Prints what they print, the seconds from the table of customers to
the table of learners, and the seconds of the import (median of nine processes). FOLDER holds the file.

With HOME, where ``make run`` has published Hillstrom, it fits once more on the published features, and
prints the largest difference between all published figures and those of the library.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

from uplift_core.artifacts.publication import read_pointer
from uplift_core.experiment.declaration import load_experiment
from uplift_core.experiment.sources import FileSource

ROOT = Path(__file__).parents[1]
ALLOWED, IMPORT_ALLOWED, EQUAL = 60.0, 1.0, 1e-6
IMPORT = "import time; t = time.perf_counter(); import uplift_core; print(time.perf_counter() - t)"
THREE_LINES = """
import time
import pandas as pd
import uplift_core as uplift

customers = pd.read_csv("hillstrom.csv")
began = time.perf_counter()
customers = customers[customers["segment"] != "Mens E-Mail"]
model = uplift.fit(customers, arm="segment", control="No E-Mail", outcome="visit",
    features=["recency", "history", "mens", "womens", "newbie", "zip_code", "channel"],
    shares={"No E-Mail": "1/2", "Womens E-Mail": "1/2"})
print(model.evaluate())
print("seconds:", time.perf_counter() - began)
"""
PUBLISHED = """
import json, sys
import uplift_core as uplift

model = uplift.fit("users.parquet", arm="arm", control="none", outcome=["visit", "conversion", "spend"],
    features=json.loads(sys.argv[1]), shares=dict.fromkeys(("none", "womens", "mens"), "1/3"),
    id="user_id", salt=sys.argv[2])
evaluation = model.evaluate()
print(json.dumps([evaluation.table("metrics"), evaluation.table("policy_value")]))
"""
KEYS = {
    "metrics": ("arm", "outcome", "learner", "metric"),
    "policy_value": ("arm", "outcome", "learner", "estimator", "budget"),
}
FIGURES = {
    "metrics": ("value", "std_error"),
    "policy_value": ("value", "std_error", "gain_over_random", "gain_std_error"),
}


def main() -> int:
    """Print the figures. Return the exit code: 1 if one is out of its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path)
    chosen = parser.parse_args()
    source = load_experiment(ROOT / "sql" / "experiments" / "hillstrom").source
    if not isinstance(source, FileSource):
        raise TypeError("hillstrom: is no file")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = install(folder)
        (folder / "hillstrom.csv").symlink_to((chosen.data / source.filename).resolve())
        imports = [float(call(python, folder, IMPORT)) for _ in range(9)]
        print(f"import: median {statistics.median(imports):.3f} s, {max(imports):.3f} s at worst")
        shown = call(python, folder, THREE_LINES)
        print(THREE_LINES, shown, sep="\n")
        seconds = float(shown.rsplit(":", 1)[1])
        well = seconds <= ALLOWED and statistics.median(imports) <= IMPORT_ALLOWED
        if chosen.home:
            n, largest = compare(python, folder, chosen.home)
            print(f"{n:,} published figures: the largest difference is {largest:.2g}")
            well &= largest <= EQUAL and n > 0
    return int(not well)


def install(folder: Path) -> Path:
    """Build the wheel and install it in a new environment; return its Python."""
    uv = str(Path(sys.executable).with_name("uv"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)  # noqa: S603 - own command
    (wheel,) = (folder / "dist").glob("*.whl")
    python = folder / "env" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", str(folder / "env")], check=True)  # noqa: S603
    pinned = ["-c", str(ROOT / "requirements" / "all.txt")]
    wanted = [f"uplift-engine[library] @ {wheel.as_uri()}", "pandas"]
    get = [uv, "pip", "install", "--quiet", "--python", str(python), *pinned, *wanted]
    subprocess.run(get, check=True)  # noqa: S603
    print(f"wheel: {wheel.stat().st_size / 1000:.0f} kB")
    return python


def call(python: Path, folder: Path, code: str, *arguments: str) -> str:
    """Run code in the new environment and its folder; return what it prints."""
    known = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "UPLIFT"))
    }
    command = [python, "-c", code, *arguments]
    done = subprocess.run(  # noqa: S603 - the code above
        command, cwd=folder, env=known, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def compare(python: Path, folder: Path, home: Path) -> tuple[int, float]:
    """Fit on the published features; return how many figures there are, and how far apart."""
    snapshot = home / "published" / read_pointer(home / "published").file
    with duckdb.connect(str(snapshot), read_only=True) as con:
        con.sql(
            "copy (select f.*, a.arm, a.visit, a.conversion, a.spend from features.hillstrom as f "
            "join assignment.hillstrom as a using (user_id) order by user_id) to "
            f"'{folder / 'users.parquet'}'"
        )
        listed = con.sql(
            "select name from features.registry where experiment = 'hillstrom' order by position"
        ).fetchall()
        features = json.dumps([feature for (feature,) in listed])
        tables = json.loads(call(python, folder, PUBLISHED, features, "hillstrom-1"))
        n, largest = 0, 0.0
        for table, rows in zip(KEYS, tables, strict=True):
            keys, figures = KEYS[table], FIGURES[table]
            ours = {tuple(row[key] for key in keys): row for row in rows}
            published = con.sql(
                f"select {', '.join((*keys, *figures))} from evaluation.{table} "
                "where experiment = 'hillstrom'"
            ).fetchall()
            for row in published:
                of_library = ours[row[: len(keys)]]
                for figure, value in zip(figures, row[len(keys) :], strict=True):
                    n, largest = n + 1, max(largest, abs(value - of_library[figure]))
    return n, largest


if __name__ == "__main__":
    sys.exit(main())
