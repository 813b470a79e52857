"""Run the exported rules of a list for a million users in other systems, and compare with the engine.

The users are drawn from the experiment's, with 5 % of all values missing and as many at an edge that
some rule asks about, or next to it. The files are those of the export: SQL in DuckDB and PostgreSQL (if
installed), JSON and Python. DuckDB and PostgreSQL also read the features in double precision.

python -m bench.carried_rules --home .uplift --experiment hillstrom
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tests.postgres import postgres
from uplift_core.artifacts import bundle
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer
from uplift_core.learners.score_texts import score_of
from uplift_core.targeting.policy_tree import PolicyTree
from uplift_core.targeting.rule_texts import decide

ODD = 0.05  # share of values that are missing, and of those at an edge
ROUNDING = 1e-12  # of a chance, which some databases read as a decimal
AT_MOST = 1e-6  # by which a score may differ; decisions may not


class Rule(NamedTuple):
    """A rule of the export: its files by form, and what the engine says of each user."""

    name: str
    column: str
    files: Mapping[str, Path]
    expected: np.ndarray
    scores: np.ndarray | None


class Given(NamedTuple):
    """The newest list's manifest, and what decides it."""

    place: Path
    manifest: dict[str, Any]
    features: tuple[str, ...]
    trees: Mapping[str, PolicyTree]
    model: Any


def read(home: Home, experiment: str) -> Given:
    """Read the newest list of an experiment, its bundle and its readable rules."""
    path = max((home.exports / experiment).glob("*/*/manifest.json"))
    manifest = json.loads(path.read_bytes())
    loaded = bundle.load(home.bundles / manifest["model_version"])
    snapshot = str(home.published / read_pointer(home.published).file)
    with duckdb.connect(snapshot, read_only=True) as con:
        rows = con.execute(
            "select 'depth_' || depth, tree from models.rules where experiment = $e and arm = $a",
            {"e": experiment, "a": manifest["arm"]},
        ).fetchall()
    trees = {name: PolicyTree.from_dict(json.loads(tree)) for name, tree in rows}
    model = loaded.models[manifest["arm"]].learners[manifest["learner"]]
    return Given(path.parent, manifest, loaded.edges.features, trees, model)


def draw_users(given: Given, home: Home, experiment: str, n: int) -> np.ndarray:
    """Draw users: (n, n_features) float32; NaN is missing."""
    names = ", ".join(f'"{name}"' for name in given.features)
    snapshot = str(home.published / read_pointer(home.published).file)
    with duckdb.connect(snapshot, read_only=True) as con:
        table = con.sql(f'select {names} from features."{experiment}"').to_arrow_table()
    real = np.column_stack([column.to_numpy() for column in table.columns]).astype(np.float32)
    rng = np.random.default_rng(0)
    x = real[rng.integers(len(real), size=n)]
    edges = re.findall(r'"(\w+)" < ([-\d.e]+)', text(given, "score", "duckdb"))
    for name in given.features:
        asked = np.array([float(value) for of, value in edges if of == name], dtype=np.float32)
        if len(asked):
            column, rows = given.features.index(name), np.flatnonzero(rng.random(n) < ODD)
            at = asked[rng.integers(len(asked), size=len(rows))]
            below = np.nextafter(at, np.float32(-np.inf))
            x[rows, column] = np.where(rng.random(len(rows)) < 0.5, at, below)  # noqa: PLR2004 - a coin
    x[rng.random(x.shape) < ODD] = np.nan
    return x


def text(given: Given, rule: str, form: str) -> str:
    """Read an exported rule; its sha256 is the manifest's."""
    return file_of(given, rule, form).read_text()


def file_of(given: Given, rule: str, form: str) -> Path:
    """Find an exported rule in the manifest."""
    (entry,) = (e for e in given.manifest["rules"] if (e["rule"], e["form"]) == (rule, form))
    return given.place / entry["path"]


def rules(given: Given, x: np.ndarray) -> Iterator[Rule]:
    """Yield each rule with the engine's answer for each user."""
    forms = ("duckdb", "postgres", "json", "python")
    for name, tree in given.trees.items():
        chances = np.array([leaf.treated for _, leaf in tree.leaves()])
        files = {form: file_of(given, name, form) for form in forms}
        yield Rule(name, "chance", files, chances[tree.leaf_of(x)], None)
    scores = given.model.predict(x)
    files = {form: file_of(given, "score", form) for form in forms}
    threshold = np.float32(given.manifest["threshold"])
    yield Rule("score", "treat", files, (scores >= threshold).astype(float), scores.astype(float))


def users_table(given: Given, x: np.ndarray, type_: pa.DataType) -> pa.Table:
    """Return the users as a table, with a number to order by."""
    columns = [pa.array(column.astype(np.float64), from_pandas=True).cast(type_) for column in x.T]
    return pa.table([pa.array(np.arange(len(x))), *columns], names=["place", *given.features])


def in_duckdb(sql: str, users: pa.Table, columns: str) -> pa.Table:
    """Run an exported query in DuckDB."""
    with duckdb.connect() as con:
        con.register("users", users)
        return con.sql(f"select {columns} from ({sql}) as decided order by place").to_arrow_table()


@contextmanager
def in_postgres() -> Iterator[Callable[[str, pa.Table, str], pa.Table]]:
    """Start a server; yield a function that runs an exported query in it."""
    from adbc_driver_postgresql import dbapi  # noqa: PLC0415 - only where there is a server

    with postgres() as uri, dbapi.connect(uri, autocommit=True) as con, con.cursor() as cursor:

        def run(sql: str, users: pa.Table, columns: str) -> pa.Table:
            cursor.adbc_ingest("users", users, mode="replace")
            cursor.execute(f"select {columns} from ({sql}) as decided order by place")
            return cursor.fetch_arrow_table()

        cursor.execute("select current_setting('server_version')")
        print(f"PostgreSQL {cursor.fetch_arrow_table().column(0)[0]}")
        cursor.execute("set jit = off")  # to compile hundreds of trees takes longer than to run them
        yield run


def report(what: str, rule: Rule, got: np.ndarray, scores: np.ndarray | None, seconds: float) -> bool:
    """Print one comparison; return whether all agree."""
    differ = int((np.abs(got - rule.expected[: len(got)]) > ROUNDING).sum())
    apart = 0.0 if scores is None else float(np.abs(scores - rule.scores[: len(got)]).max())
    far = "" if scores is None else f", scores {apart:.1e} apart"
    print(f"  {what:22} {len(got):>9,} users, {differ} differ{far}; {seconds:.1f} s", flush=True)
    return not differ and apart < AT_MOST


def compare_sql(what: str, run: Callable[..., pa.Table], rule: Rule, form: str, users: pa.Table) -> bool:
    """Compare an exported query's result with the engine."""
    columns = f"cast({rule.column} as double precision) as decided"
    columns += "" if rule.scores is None else ", score"
    start = time.perf_counter()
    result = run(rule.files[form].read_text(), users, columns)
    seconds = time.perf_counter() - start
    scores = None if rule.scores is None else result.column("score").to_numpy()
    return report(what, rule, result.column("decided").to_numpy(), scores, seconds)


def compare_users(given: Given, rule: Rule, x: np.ndarray, slow: int) -> Iterator[bool]:
    """Compare Python and JSON, user by user; ``slow`` users by the JSON of the score."""
    module: dict[str, Any] = {}
    exec(compile(rule.files["python"].read_text(), rule.name, "exec"), module)  # noqa: S102 - our export
    conditions = json.loads(rule.files["json"].read_text())
    if rule.scores is None:
        ways = {
            "Python": (module["chance"], len(x)),
            "JSON": (lambda user: decide(conditions["leaves"], user), len(x)),
        }
    else:
        ways = {
            "Python": (module["score"], len(x)),
            "JSON": (lambda user: score_of(conditions, user), min(slow, len(x))),
        }
    for what, (call, n) in ways.items():
        start = time.perf_counter()
        values = np.fromiter(map(call, users_of(given, x[:n])), float, n)
        seconds = time.perf_counter() - start
        if rule.scores is None:
            yield report(what, rule, values, None, seconds)
        else:
            yield report(what, rule, (values >= conditions["treat_from"]) + 0.0, values, seconds)


def users_of(given: Given, x: np.ndarray) -> Iterator[dict[str, float | None]]:
    """Yield each user as a dict; a missing value is None."""
    for row in x.tolist():
        yield {n: None if v != v else v for n, v in zip(given.features, row, strict=True)}  # noqa: PLR0124


def main() -> None:
    """Compare all rules in all systems."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--experiment", default="hillstrom")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--slow", type=int, default=100_000, help="users by the JSON of the score")
    asked = parser.parse_args()
    home = Home(asked.home)
    given = read(home, asked.experiment)
    x = draw_users(given, home, asked.experiment, asked.users)
    systems = {"DuckDB": ("duckdb", in_duckdb)}
    agree = []
    with ExitStack() as stack:
        try:
            systems["PostgreSQL"] = "postgres", stack.enter_context(in_postgres())
        except pytest.skip.Exception as missing:
            print(missing)
        for rule in rules(given, x):
            treated = f"{rule.expected.mean():.3f} treated"
            print(f"{asked.experiment}, {given.manifest['arm']}, {rule.name}: {treated}")
            for precision, type_ in (("single", pa.float32()), ("double", pa.float64())):
                users = users_table(given, x, type_)
                for system, (form, run) in systems.items():
                    agree.append(compare_sql(f"{system}, {precision}", run, rule, form, users))
            agree += compare_users(given, rule, x, asked.slow)
    print("all agree" if all(agree) else "NOT all agree")
    raise SystemExit(not all(agree))


if __name__ == "__main__":
    main()
