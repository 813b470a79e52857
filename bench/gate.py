"""Count how often the gate opens where choosing whom to treat is worth nothing, and where it pays.

The whole procedure runs on each simulated experiment: the learners are fitted fold after fold, compared
with random targeting and the response model, and judged. Where choosing is worth nothing, both tests and
the gate must open in at most 5 %; elsewhere their rates are power. In "response ranks as well", beating
random targeting is right.

python -m bench.gate --runs 100 --users 3000 --designs "no effect" "marketing, weak"
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.evaluation.gate import LEAST_EVENTS, Verdict
from uplift_core.evaluation.procedure import judge_experiment
from uplift_core.evaluation.sequential import LEVEL
from uplift_core.learners import SINGLE_LEARNERS
from uplift_core.simulation.gate_designs import DESIGNS, draw

BUDGET = 0.3
# A third of the rounds at three times the learning rate give evidence of the same size and spread.
FASTER = LearnerParameters.model_validate(
    {"outcome": {"rounds": 50, "learning_rate": 0.3}, "effect": {"rounds": 33, "learning_rate": 0.15}}
)


@dataclass(frozen=True)
class Run:
    """The result of one experiment: what was shown of the champion, and whether it could be tested.

    ``harms``: whether treating the champion's best users is shown to be worse than treating nobody.
    """

    beats_random: bool
    beats_response: bool
    opens: bool
    single_passes: bool
    harms: bool
    tested: bool
    seconds: float


def run(name: str, users: int, seed: int, parameters: LearnerParameters) -> Run:
    """Draw an experiment and judge it."""
    start, design = time.process_time(), DESIGNS[name]
    verdict = judge_experiment(
        draw(name, users, seed),
        propensity=design.treated_share,
        binary=design.binary,
        budget=BUDGET,
        parameters=parameters,
    )
    return _run(verdict, time.process_time() - start)


def _run(verdict: Verdict, seconds: float) -> Run:
    tested = verdict.events >= LEAST_EVENTS
    by_random, by_response, opens = verdict.claims
    single = any(verdict.findings[name].word == "passed" for name in SINGLE_LEARNERS)
    harms = verdict.comparison.candidates[verdict.champion].over_nobody.ci_high < 0
    return Run(tested and by_random, tested and by_response, opens, single, harms, tested, seconds)


def lines(name: str, runs: list[Run]) -> Iterator[str]:
    """Yield the table's line of one design."""
    rates = [
        float(np.mean([getattr(run, what) for run in runs]))
        for what in ("beats_random", "beats_response", "opens", "single_passes", "harms", "tested")
    ]
    cells = " ".join(f"{100 * rate:16.1f}" for rate in rates)
    yield f"{name:24} {'pays' if DESIGNS[name].pays else 'null':5}{len(runs):5}{cells}"


def main() -> None:
    """Run the designs and print their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100, help="experiments of each design")
    parser.add_argument("--users", type=int, default=3_000, help="of each experiment")
    parser.add_argument("--designs", nargs="+", choices=list(DESIGNS), default=list(DESIGNS))
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rounds", choices=("faster", "full"), default="faster")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    parameters = FASTER if given.rounds == "faster" else LearnerParameters()
    error = 100 * math.sqrt(LEVEL * (1 - LEVEL) / given.runs)
    print(
        f"{given.runs} experiments of {given.users:,} users a design, {given.rounds} rounds; "
        f"how often, in %; Monte-Carlo error {error:.1f} at a true 5 %, "
        f"at most {50 / math.sqrt(given.runs):.1f}"
    )
    print(
        f"{'design':24} {'':5}{'runs':>5}"
        f"{'beats random':>16} {'beats response':>16} {'gate opens':>16}"
        f" {'any single':>16} {'harm is shown':>16} {'enough events':>16}"
    )
    seeds = range(given.first_seed, given.first_seed + given.runs)
    seconds = 0.0
    with ProcessPoolExecutor(given.processes) as pool:
        for name in given.designs:
            one = partial(run, name, given.users, parameters=parameters)
            runs = list(pool.map(one, seeds))
            seconds += sum(run.seconds for run in runs)
            for line in lines(name, runs):
                print(line, flush=True)
    print(f"{seconds:.0f} CPU seconds; 'beats ...': the champion does")


if __name__ == "__main__":
    main()
