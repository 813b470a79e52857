"""Compare ways to keep a model useful over 90 nights on which effects drift, with known effects.

    python -m bench.loop

A randomized experiment comes first. Then each night a fifth of other users is treated. Within the nights
the effect turns from one feature to another. The ways:

frozen   the experiment's model, all nights; 1 % of users explore
loop     every 15 nights a model learns from the experiment and from the lists of the nights since, by
         their logged chances; it replaces the one before only if it beats it on held-out users, paired;
         10 % explore
renewed  the experiment is made anew halfway, with as many users, whose cost is not counted; 1 % explore
oracle   the true effect of the night ranks; 1 % explore

5 % of users are held out in each. A way's value is what its treatments add in truth, per user and night.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.boosting.booster import predict_booster
from uplift_core.evaluation.estimate import Estimate, difference, spread
from uplift_core.evaluation.groups import joint_groups
from uplift_core.evaluation.policy import gain_over_random
from uplift_core.library.estimators import RLearner, TLearner

NIGHTS, EVERY = 90, 15
BUDGET, HOLDOUT, SEPARATE = 0.2, 0.05, 0.3
OVERLAP, HALF = 0.01, 0.5


@dataclass
class Rows:
    """Users to learn from: features, arms, outcomes, chances by design, and whether held out."""

    x: Doubles
    w: Doubles
    y: Doubles
    e: Doubles
    person: np.ndarray
    held_out: np.ndarray

    def __add__(self, other: Rows) -> Rows:
        """Pool two sets of rows."""
        both = zip(vars(self).values(), vars(other).values(), strict=True)
        return Rows(*(np.concatenate(pair) for pair in both))

    def only(self, which: np.ndarray) -> Rows:
        """Select rows."""
        return Rows(*(column[which] for column in vars(self).values()))


@dataclass
class Loop:
    """The model of a way, and its lists so far."""

    model: RLearner | None
    explore: float
    value: list[float] = field(default_factory=list)
    nights: list[Rows] = field(default_factory=list)
    told: list[tuple[int, bool, Estimate]] = field(default_factory=list)


def main() -> None:
    """Print the value of each way, and what the loop decided."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=8)
    parser.add_argument("--users", type=int, default=20_000, help="users of the lists")
    parser.add_argument("--experiment", type=int, default=10_000, help="users of the experiment")
    chosen = parser.parse_args()
    values: dict[str, list[float]] = {}
    for seed in range(chosen.repetitions):
        ways = repetition(seed, chosen.users, chosen.experiment)
        for name, way in ways.items():
            values.setdefault(name, []).append(100 * float(np.mean(way.value)))
        decided = ", ".join(
            f"night {night} {'replaced' if yes else 'kept'} "
            f"({100 * found.value:+.2f} ± {100 * found.std_error:.2f})"
            for night, yes, found in ways["loop"].told
        )
        told = ", ".join(f"{name} {column[-1]:.3f}" for name, column in values.items())
        print(f"{seed}: {told}; {decided}", flush=True)
        report(values)


def report(values: dict[str, list[float]]) -> None:
    """Print means over repetitions, and paired differences to the frozen model, ± one standard error."""

    def told(column: Doubles, sign: str = "") -> str:
        error = column.std(ddof=1) / np.sqrt(len(column)) if len(column) > 1 else np.nan
        return f"{column.mean():{sign}.3f} ± {error:.3f}"

    frozen = np.array(values["frozen"])
    for name, column in values.items():
        line = f"   {name}: {told(np.array(column))} added per 100 users and night"
        print(line + f", less frozen {told(np.array(column) - frozen, '+')}", flush=True)


def repetition(seed: int, users: int, experiment: int) -> dict[str, Loop]:
    """Live through the nights of one repetition in each way."""
    rng = np.random.default_rng([2026, seed])
    first = trial(rng, 0, experiment)
    model = fit(first.only(~first.held_out))
    ways = {
        "frozen": Loop(model, 0.01),
        "loop": Loop(model, 0.1),
        "renewed": Loop(model, 0.01),
        "oracle": Loop(None, 0.01),
    }
    x, draw = rng.standard_normal((users, 10)), rng.random(users)
    person, held_out = np.arange(users), rng.random(users) < SEPARATE
    for night in range(NIGHTS):
        if night == NIGHTS // 2:
            again = trial(rng, night, experiment)
            ways["renewed"].model = fit(again.only(~again.held_out))
        if night and night % EVERY == 0:
            learn(ways["loop"], first, night)
        p0, p1 = means(x, night)
        chance = rng.random(users)  # of each user's outcome, the same in every way
        for way in ways.values():
            score = p1 - p0 if way.model is None else way.model.predict(x).astype(float)
            treated, e = make_list(score, draw, way.explore)
            way.value.append(float(np.sum((p1 - p0)[treated]) / users))
            y = (chance < np.where(treated, p1, p0)).astype(float)
            if way is ways["loop"]:
                way.nights.append(Rows(x, treated.astype(float), y, e, person, held_out))
    return ways


def means(x: Doubles, night: int) -> tuple[Doubles, Doubles]:
    """Compute the chances of the outcome without and with treatment on a night: (n,) each.

    They are those of ``marketing_means``, but the effect turns from the fourth to the seventh feature.
    """
    angle = np.pi / 2 * night / (NIGHTS - 1)
    turning = np.cos(angle) * x[:, 3] + np.sin(angle) * x[:, 6]
    logit = -1.2 + 0.8 * x[:, 0] + 0.5 * x[:, 1] - 0.4 * x[:, 2] * (x[:, 1] > 0)
    lift = 0.5 * np.tanh(1.5 * turning) + 0.4 * (x[:, 4] > 0) - 0.3 * (x[:, 5] > 1) + 0.2 * x[:, 0]
    return 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(-logit - lift))


def trial(rng: np.random.Generator, night: int, n: int) -> Rows:
    """Draw a randomized experiment of that night."""
    x, w = rng.standard_normal((n, 10)), (rng.random(n) < HALF).astype(float)
    p0, p1 = means(x, night)
    y = (rng.random(n) < np.where(w == 1, p1, p0)).astype(float)
    held_out = rng.random(n) < SEPARATE
    return Rows(x, w, y, np.full(n, HALF), -1 - np.arange(n), held_out)


def make_list(score: Doubles, draw: Doubles, explore: float) -> tuple[np.ndarray, Doubles]:
    """Return whom a list of the budget treats, and each user's chance, as ``write_treat_list`` does."""
    n = len(score)
    ranked, explores = draw >= HOLDOUT + explore, (draw >= HOLDOUT) & (draw < HOLDOUT + explore)
    size = round(BUDGET * n)
    share = size / max(int(ranked.sum() + explores.sum()), 1)
    by_chance = explores & (draw < HOLDOUT + explore * share)
    places = size - int(by_chance.sum())
    cut = np.sort(score[ranked])[-places]
    chosen = score >= cut
    chance = explore * by_chance.sum() / max(explores.sum(), 1) + (1 - HOLDOUT - explore) * chosen
    return (ranked & chosen) | by_chance, chance


def fit(rows: Rows) -> RLearner:
    """Fit the R-learner, which weighs users by how little their chance decides."""
    return RLearner(folds=3, n_jobs=1).fit(rows.x, rows.y, rows.w, e=rows.e)


def learn(way: Loop, first: Rows, night: int) -> None:
    """Learn from the experiment and the nights since the last time; keep the better of both models."""
    lists = way.nights[0]
    for rows in way.nights[1:]:
        lists = lists + rows
    way.nights.clear()
    pooled = first + lists.only((lists.e >= OVERLAP) & (lists.e <= 1 - OVERLAP))
    train, judge = pooled.only(~pooled.held_out), pooled.only(pooled.held_out)
    new, outcomes = fit(train), TLearner(folds=3, n_jobs=1).fit(train.x, train.y, train.w, e=train.e)
    boosters, x = outcomes.learner_.boosters, judge.x.astype(np.float32)
    mu0, mu1 = (predict_booster(boosters[name], x).astype(float) for name in ("mu0", "mu1"))
    scores = {"new": new.predict(judge.x), "old": way.model.predict(judge.x)} if way.model else {}
    joint = joint_groups(
        {name: score.astype(float) for name, score in scores.items()},
        judge.w,
        judge.y,
        mu0=mu0,
        mu1=mu1,
        propensity=float(judge.e.mean()),
        propensities=judge.e,
        cluster=judge.person,
    )
    gains = {}
    for name in scores:
        groups, place = joint.by(name)
        gains[name] = spread(gain_over_random(groups, BUDGET), place)
    found = difference(joint, gains["new"], gains["old"])
    replaced = found.ci_low > 0
    way.told.append((night, replaced, found))
    if replaced:
        way.model = new


if __name__ == "__main__":
    main()
