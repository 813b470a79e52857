"""Compare time and memory of our learners, causalml's and econml's, on Criteo-like rows.

    python -m bench.learners --rows 1000000 5000000

Each contender runs in a separate process, from a DuckDB table of rows to a DuckDB table of scores. They
run one after another, all of them once before any runs again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.machine import QUIET, wait_for_quiet
from bench.setting import (
    BASELINE,
    CONTENDERS,
    LEARNING_RATE,
    MAX_BIN,
    MAX_DEPTH,
    OURS,
    ROUNDS,
    SEED,
    Contender,
)

DISTURBED = 3  # largest number of runs of a contender until one was alone on the machine
Result = Mapping[str, object]
# This process stays small and imports none of the libraries, because the kernel counts a child's peak
# memory from its parent's.


def prepare(rows: int, folder: Path) -> Path:
    """Write the DuckDB file of ``rows`` rows, unless it exists."""
    database = folder / f"criteo-like-{rows}-{SEED}.duckdb"
    if not database.is_file():
        call = ["bench.criteo_like", "--rows", str(rows), "--seed", str(SEED)]
        _python([*call, "--database", str(database)], {}, None)
    return database


def run_contender(contender: Contender, database: Path, given: argparse.Namespace) -> Result:
    """Run one contender on a copy of the file; ``seconds`` is missing if it took too long."""
    home = given.folder / "contender"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    shutil.copyfile(database, home / "warehouse.duckdb")
    result = home / "result.json"
    call = ["bench.contender", "--name", contender.name, "--home", str(home), "--result", str(result)]
    call += ["--threads", str(given.threads), "--memory-limit", given.memory_limit]
    longest = None if contender.name in (OURS, BASELINE) else given.timeout
    try:
        _python(call, {"OMP_NUM_THREADS": str(given.threads)}, longest)
        return json.loads(result.read_text(encoding="utf-8"))
    except subprocess.TimeoutExpired:
        return {"name": contender.name}
    finally:
        shutil.rmtree(home)


def undisturbed(contender: Contender, database: Path, given: argparse.Namespace) -> Result:
    """Run one contender while the machine is quiet; repeat up to twice if other processes worked."""
    for _ in range(DISTURBED):
        wait_for_quiet(given.patience)
        result = run_contender(contender, database, given)
        if result.get("others", 0.0) <= QUIET:
            break
    return result


def _python(arguments: Sequence[str], more: Mapping[str, str], timeout: float | None) -> None:
    call = [sys.executable, "-m", *arguments]
    environment = {**os.environ, **more}
    # The output of a child is shown only if it fails.
    done = subprocess.run(  # noqa: S603 - modules of this project
        call, env=environment, timeout=timeout, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-3000:]}")


def race(rows: int, given: argparse.Namespace) -> list[Result]:
    """Run all contenders on ``rows`` rows, ``repeats`` times, interleaved."""
    database = prepare(rows, given.folder)
    chosen = [c for c in CONTENDERS if not given.only or c.name in given.only]
    results: list[Result] = []
    late: set[str] = set()
    for repeat in range(given.repeats):
        for contender in chosen:
            if contender.name in late:  # it is not run again
                continue
            result = undisturbed(contender, database, given)
            results.append(result)
            if "seconds" in result:
                figures = f"{result['seconds']:8.1f} s {result['peak_mib']:8.0f} MiB"
            else:
                figures, _ = f"> {given.timeout:.0f} s", late.add(contender.name)
            where = f"{rows:,} rows, repeat {repeat + 1} of {given.repeats}"
            print(f"  {where}: {contender.name:20} {figures}", file=sys.stderr, flush=True)
    return results


def table(rows: int, results: Sequence[Result], given: argparse.Namespace) -> str:
    """Format the figures of one number of rows: medians over the repeats."""
    seconds = {c.name: _median(results, c.name, "seconds") for c in CONTENDERS}
    peaks = {c.name: _median(results, c.name, "peak_mib") for c in CONTENDERS}
    others = {c.name: _median(results, c.name, "others") for c in CONTENDERS}
    head = f"{'contender':20} {'wall s':>8} {'peak MiB':>9} {'x causalml X':>13} {'others':>7}  notes"
    lines = [f"{rows:,} rows", head]
    for contender in CONTENDERS:
        name = contender.name
        if not any(result["name"] == name for result in results):
            continue
        wall, peak, base = seconds[name], peaks[name], seconds[BASELINE]
        shown = f"{wall:8.1f} {peak:9.0f}" if wall and peak else f"{f'> {given.timeout:.0f}':>8} {'':>9}"
        ratio = f"{wall / base:13.2f}" if wall and base else " " * 13
        lines.append(f"{name:20} {shown} {ratio} {others[name] or 0:7.2f}  {contender.note}")
    return "\n".join(lines)


def limit(results: Sequence[Result]) -> str:
    """Format our seconds by step, and their ratio to the bare training."""
    ours = [result for result in results if result["name"] == OURS]
    if not ours:
        return ""
    steps = {name: statistics.median(r["steps"][name] for r in ours) for name in ours[0]["steps"]}
    total = statistics.median(r["seconds"] for r in ours)
    both = steps["xgboost.train"] + steps["xgboost.QuantileDMatrix"]
    bare = steps["xgboost.train"]
    parts = ", ".join(f"{name} {value:.1f}" for name, value in steps.items())
    return (
        f"ours, s by step: {parts}\n"
        f"ours / sum of bare xgboost.train: {total:.1f} / {bare:.1f} = {total / bare:.2f}; "
        f"with building its matrices: {total:.1f} / {both:.1f} = {total / both:.2f}"
    )


def means(results: Sequence[Result]) -> str:
    """Format the mean CATE by contender; all estimate the same effect."""
    by_name = {name: value for r in results for name, value in r.get("mean_cate", {}).items()}
    return "mean CATE: " + ", ".join(f"{name} {value:.5f}" for name, value in by_name.items())


def _median(results: Sequence[Result], name: str, what: str) -> float | None:
    values = [result[what] for result in results if result["name"] == name and what in result]
    return statistics.median(values) if values else None


def setting(given: argparse.Namespace) -> str:
    """Describe what all contenders have in common."""
    return (
        f"All: {ROUNDS} rounds, depth {MAX_DEPTH}, learning rate {LEARNING_RATE}, {MAX_BIN} bins, "
        f"hist, {given.threads} threads; from a DuckDB table of rows to a DuckDB table of scores for "
        f"all rows, median of {given.repeats}; imports not counted. DuckDB under ours may hold "
        f"{given.memory_limit}. others: cores that other "
        "processes of the machine kept busy meanwhile."
    )


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--timeout", type=float, default=900, help="seconds a contender; ours and causalml X have none"
    )
    parser.add_argument(
        "--patience", type=float, default=300, help="seconds to wait for other processes to be done"
    )
    parser.add_argument("--memory-limit", default="400MB", help="of DuckDB, for ours")
    parser.add_argument("--only", nargs="*", default=[], help="names of contenders")
    parser.add_argument("--folder", type=Path, required=True, help="for the rows and the scores")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    return parser.parse_args()


def main() -> None:
    """Run the race and print its tables."""
    given = parse()
    figures = {}
    for rows in given.rows:
        figures[rows] = results = race(rows, given)
        print(
            "\n".join(["", setting(given), table(rows, results, given), limit(results), means(results)])
        )
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    versions = {
        k: v for results in figures.values() for r in results for k, v in r.get("versions", {}).items()
    }
    print("\nversions: " + ", ".join(f"{name} {number}" for name, number in versions.items()))


if __name__ == "__main__":
    main()
