"""Who should get the women's e-mail? Policy values on Hillstrom's data, ours beside the peers'.

    python -m bench.hillstrom_splits

On each of many random 70/30 splits every contender is fitted on the 70 %, ranks the 30 %, and treats
its best 30 %. The policy's value is estimated by inverse propensity weighting with the design's e:
mean(pi W Y / e + (1 - pi) (1 - W) Y / (1 - e)). All contenders use their defaults and the same users.

The splits overlap, so the naive standard error of a mean over them, sd / sqrt(splits), is too small.
The corrected one is Nadeau and Bengio's (2003): sd * sqrt(1 / splits + held_out / trained).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from dagster_project.settings import SQL_FOLDER
from uplift_core.cells import BinEdges, UserRows, cells_of_rows
from uplift_core.experiment.declaration import FEATURES_SQL, RAW_SQL, Experiment, load_experiment
from uplift_core.learners import LEARNER_NAMES
from uplift_core.learners.contrast import fit_contrast

ARM, OUTCOME = "womens", "visit"
HOLDOUT, BUDGET, FOLDS = 0.3, 0.3, 5
FOREST_TREES = 500
RANDOM, RESPONSE = "random", "response model"
FOREST, X_PEER = "econml CausalForestDML", "causalml X"
STACK = "ours STACK"
Array = npt.NDArray[np.float64]
Scores = dict[str, Array]


@dataclass(frozen=True)
class Users:
    """The users of one contrast: features (n, n_features) float32, arm and outcome (n,)."""

    names: tuple[str, ...]
    x: npt.NDArray[np.float32]
    w: npt.NDArray[np.int8]
    y: Array
    propensity: float

    def take(self, rows: npt.NDArray[np.int64]) -> Users:
        """Select users by their rows."""
        return Users(self.names, self.x[rows], self.w[rows], self.y[rows], self.propensity)


def read_users(source: Path | None = None) -> Users:
    """Read the users of the women's e-mail and of the control, by the experiment's SQL."""
    folder = SQL_FOLDER / "experiments" / "hillstrom"
    experiment = load_experiment(folder)
    con = duckdb.connect()
    con.execute("create schema raw").fetchall()
    raw = (folder / RAW_SQL).read_text(encoding="utf-8")
    path = str(source or source_file(experiment))
    con.execute(f"create table raw.hillstrom as {raw}", {"source": path}).fetchall()
    features = (folder / FEATURES_SQL).read_text(encoding="utf-8")
    contrast = experiment.contrast(ARM)
    value = {arm.name: str(arm.value) for arm in experiment.arms}
    table = con.sql(
        f"select features.* exclude (user_id), segment = $arm as w, {OUTCOME} as y "
        f"from ({features}) as features inner join raw.hillstrom as raw using (user_id) "
        "where segment in ($arm, $control) order by user_id",
        params={"arm": value[ARM], "control": value[contrast.control]},
    ).to_arrow_table()
    names = tuple(name for name in table.column_names if name not in ("w", "y"))
    return Users(
        names=names,
        x=np.column_stack([table.column(name).to_numpy() for name in names]),
        w=table.column("w").to_numpy(zero_copy_only=False).astype(np.int8),
        y=table.column("y").to_numpy().astype(np.float64),
        propensity=contrast.propensity,
    )


def source_file(experiment: Experiment) -> Path:
    """Return the path of the official file, in the folder that UPLIFT_DATA_DIR names."""
    folder, name = os.environ.get("UPLIFT_DATA_DIR", ""), experiment.source.filename
    path = Path(folder) / name
    if not folder or not path.is_file():
        raise SystemExit(f"{name} is needed: set UPLIFT_DATA_DIR to the folder that holds it")
    return path


def ours(train: Users, x: npt.NDArray[np.float32], seed: int) -> Scores:
    """Score by our learners and the response model, with default parameters."""
    experiment = load_experiment(SQL_FOLDER / "experiments" / "hillstrom")
    edges = BinEdges.of(train.names, train.x, experiment.learners.max_bins)
    fold = np.random.default_rng(seed).integers(0, FOLDS, len(train.y))
    rows = UserRows(train.x, train.w, train.y, fold, propensity=train.propensity, binary=True)
    model = fit_contrast(cells_of_rows(edges, rows), experiment.learners)
    scores = {f"ours {name.upper()}": model.predict(x, name) for name in LEARNER_NAMES}
    return scores | {RESPONSE: model.predict_response(x)}


def causal_forest(train: Users, x: npt.NDArray[np.float32], seed: int) -> Scores:
    """Score by econml's CausalForestDML: forests for outcomes, the treated share as propensity."""
    from econml.dml import CausalForestDML  # noqa: PLC0415 - slow to import
    from sklearn.dummy import DummyClassifier  # noqa: PLC0415
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415

    forest = CausalForestDML(
        model_y=RandomForestRegressor(
            n_estimators=100, min_samples_leaf=50, random_state=seed, n_jobs=-1
        ),
        model_t=DummyClassifier(strategy="prior"),
        discrete_treatment=True,
        n_estimators=FOREST_TREES,
        min_samples_leaf=50,
        inference=False,
        random_state=seed,
        n_jobs=-1,
    )
    forest.fit(train.y, train.w, X=train.x)
    return {FOREST: forest.effect(x).ravel()}


def causalml_x(train: Users, x: npt.NDArray[np.float32], seed: int) -> Scores:
    """Score by causalml's X-learner, with XGBRegressor's defaults and the designed propensity."""
    from causalml.inference.meta import BaseXRegressor  # noqa: PLC0415 - slow to import
    from xgboost import XGBRegressor  # noqa: PLC0415

    model = BaseXRegressor(learner=XGBRegressor(random_state=seed))
    model.fit(train.x, train.w, train.y, p=np.full(len(train.y), train.propensity))
    return {X_PEER: model.predict(x, p=np.full(len(x), train.propensity)).ravel()}


CONTENDERS: tuple[Callable[[Users, npt.NDArray[np.float32], int], Scores], ...] = (
    ours,
    causal_forest,
    causalml_x,
)


def policy_value(score: Array, held_out: Users, seed: int) -> float:
    """Estimate the IPW value of treating the best ``BUDGET`` by score; a lot orders equal scores."""
    lot = np.random.default_rng(seed).permutation(len(score))
    treat = np.zeros(len(score))
    treat[np.lexsort((lot, -score))[: round(BUDGET * len(score))]] = 1.0
    return _value(treat, held_out)


def _value(treat: Array | float, held_out: Users) -> float:
    e, w, y = held_out.propensity, held_out.w, held_out.y
    return float(np.mean(treat * w * y / e + (1 - treat) * (1 - w) * y / (1 - e)))


def one_split(users: Users, seed: int) -> dict[str, float]:
    """Estimate the value of every contender on one split."""
    order = np.random.default_rng(seed).permutation(len(users.y))
    cut = round((1 - HOLDOUT) * len(order))
    train, held_out = users.take(order[:cut]), users.take(order[cut:])
    scores: Scores = {}
    for contender in CONTENDERS:
        scores |= contender(train, held_out.x, seed)
    values = {name: policy_value(score, held_out, seed) for name, score in scores.items()}
    # The value of random targeting is its expectation over all draws of 30 %.
    return values | {RANDOM: _value(BUDGET, held_out)}


def standard_errors(differences: Array) -> tuple[float, float]:
    """Compute the naive and the Nadeau-Bengio corrected standard error of the mean over splits."""
    splits, sd = len(differences), float(np.std(differences, ddof=1))
    return sd / math.sqrt(splits), sd * math.sqrt(1 / splits + HOLDOUT / (1 - HOLDOUT))


def report(values: Mapping[str, Array]) -> str:
    """Format mean values, and the paired differences of ours to each peer."""
    lines = [f"{'':24} {'mean value':>10} {'sd':>8}"]
    lines += [f"{name:24} {v.mean():10.5f} {v.std(ddof=1):8.5f}" for name, v in values.items()]
    lines += [
        "",
        f"{'paired difference':44} {'mean':>9} {'naive se':>9} {'corr. se':>9} {'better in':>10}",
    ]
    mine = [name for name in values if name.startswith("ours ")]
    pairs = [(STACK, name) for name in mine if name != STACK]
    pairs += [(name, peer) for peer in (FOREST, X_PEER, RESPONSE, RANDOM) for name in mine]
    for name, peer in pairs:
        gap = values[name] - values[peer]
        naive, corrected = standard_errors(gap)
        wins = f"{int((gap > 0).sum())} of {len(gap)}"
        label = f"{name} - {peer}"
        lines.append(f"{label:44} {gap.mean():+9.5f} {naive:9.5f} {corrected:9.5f} {wins:>10}")
    return "\n".join(lines)


def main() -> None:
    """Run all splits and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=50)
    parser.add_argument(
        "--json", type=Path, help="file with a line for each split, which is not repeated"
    )
    given = parser.parse_args()
    warnings.filterwarnings("ignore", module="sklearn")
    users, rows = read_users(), []
    print(
        f"{len(users.y):,} users, {ARM} against the control, {OUTCOME}, e = {users.propensity}, "
        f"{given.splits} random {1 - HOLDOUT:.0%}/{HOLDOUT:.0%} splits, budget {BUDGET:.0%}"
    )
    if given.json is not None and given.json.is_file():
        rows = [json.loads(line) for line in given.json.read_text(encoding="utf-8").splitlines()]
    for seed in range(len(rows), given.splits):
        began = time.perf_counter()
        rows.append(one_split(users, seed))
        took = time.perf_counter() - began
        print(f"  split {seed + 1} of {given.splits}: {took:.1f} s", file=sys.stderr, flush=True)
        if given.json is not None:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            with given.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print(report({name: np.array([row[name] for row in rows]) for name in rows[0]}))


if __name__ == "__main__":
    main()
