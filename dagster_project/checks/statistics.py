"""Whether the data are those of the experiment that was designed: checks that no single row can fail."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dagster_project.checks.findings import Finding
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import SCORES
from dagster_project.training.cells import features_of, read_cells, read_edges
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.arrays import Doubles
from uplift_core.cells import Cells
from uplift_core.diagnostics.balance import arm_auc
from uplift_core.diagnostics.sample_ratio import sample_ratio
from uplift_core.diagnostics.statistics import (
    Moments,
    auc,
    beyond_chance,
    mean_difference,
    stability_index,
)
from uplift_core.evaluation.estimate import Estimate

CLASSIFIED_USERS = 2_000_000  # more cells are sampled: an AUC of .55 is seen with far fewer
SCORE_BINS = 20
RANKED_SCORES = 1_000_000  # of more, a part says where bins end


def check_sample_ratio(db: Warehouse, experiment: BatchExperiment) -> Iterator[Finding]:
    """The arms' sizes against their designed shares."""
    shares = {arm.name: arm.share for arm in experiment.declaration.arms}
    counts = dict.fromkeys(shares, 0)
    counts |= dict(db.rows(f"select arm, count(*) from {experiment.tables.assignment} group by arm"))
    found = sample_ratio(counts, shares)
    limit = experiment.declaration.decisions.gates.sample_ratio
    share = counts[found.arm] / sum(counts.values())
    yield Finding(
        check="sample_ratio",
        rule="chi_square",
        column="arm",
        value=f"{found.arm} {share:.4f}",
        message=""
        if not found.mismatch(limit)
        else f"{experiment.name}: column 'arm': '{found.arm}' has {share:.4f} of the users where "
        f"{shares[found.arm]:.4f} were designed (chi-square p = {found.p_value:.2g}); users were "
        "lost or the declared share is wrong: find out which before anything is learned from them",
        passed=not found.mismatch(limit),
    )


def check_balance(db: Warehouse, experiment: BatchExperiment) -> Iterator[Finding]:
    """Standardized mean differences of every feature, and of its being known, by arm."""
    names = features_of(db, experiment)
    sql = render(
        "quality/moments.sql",
        features=experiment.tables.features,
        assignment=experiment.tables.assignment,
        feature_names=[Identifier.of(name) for name in names],
        numbers=[Identifier(str(i)) for i, _ in enumerate(names, 1)],
    )
    known: dict[tuple[str, int], Moments] = {}
    share: dict[tuple[str, int], Moments] = {}
    for arm, position, users, mean, variance, n in db.rows(sql):
        known[arm, position] = Moments(mean, variance, n)
        share[arm, position] = Moments(n / users, n / users * (1 - n / users), users)
    control, limit = experiment.declaration.control, experiment.declaration.quality.balance
    comparisons = 2 * len(names) * len(experiment.declaration.treatments)
    for arm in experiment.declaration.treatments:
        for position, name in enumerate(names, 1):
            for what, moments in (("mean", known), ("share of known values", share)):
                if (arm, position) not in moments or (control, position) not in moments:
                    continue
                found = mean_difference(moments[arm, position], moments[control, position])
                off = abs(found.value) > limit and beyond_chance(found, comparisons)
                yield Finding(
                    check="balance",
                    rule=f"standardized difference of the {what}, {arm}",
                    column=name,
                    value=f"{found.value:.4f}",
                    message=f"{experiment.name}: column '{name}': the {what} of arm '{arm}' differs "
                    f"from that of '{control}' by {found.value:+.3f} standard deviations (at most "
                    f"{limit} is accepted); the arms were not drawn at random, or the feature is from "
                    "after the treatment"
                    if off
                    else "",
                    passed=not off,
                )


def check_predictability(db: Warehouse, experiment: BatchExperiment, threads: int) -> Iterator[Finding]:
    """Classifier two-sample test (Lopez-Paz & Oquab 2017): features must not tell the arm."""
    edges, limit = read_edges(db, experiment), experiment.declaration.quality.predictability
    for arm in experiment.declaration.treatments:
        found = _arm_auc(read_cells(db, experiment, arm, edges), threads)
        off = found.value > limit and found.ci_low > 0.5  # noqa: PLR2004 - AUC of a coin
        yield Finding(
            check="predictability",
            rule=f"auc of {arm}",
            column="arm",
            value=f"{found.value:.4f} ± {found.std_error:.4f}",
            message=f"{experiment.name}: column 'arm': features tell '{arm}' from the control with AUC "
            f"{found.value:.3f} (95 % interval {found.ci_low:.3f} to {found.ci_high:.3f}, .5 is chance, "
            f"at most {limit} is accepted); the arms were not drawn at random, or a feature is from "
            "after the treatment"
            if off
            else "",
            passed=not off,
        )


def _arm_auc(cells: Cells, threads: int) -> Estimate:
    step = math.ceil(cells.n.sum() / CLASSIFIED_USERS)
    kept = cells.cell % step == 0
    x, half = cells.x[cells.cell[kept]], cells.fold[kept] % 2
    return arm_auc(x, cells.w[kept], cells.n[kept], half, max_bin=cells.max_bin, threads=threads)


def check_leakage(db: Warehouse, experiment: BatchExperiment) -> Iterator[Finding]:
    """No feature may know an outcome: its bins, ordered on train, must not tell held-out events."""
    names, limit = features_of(db, experiment), experiment.declaration.quality.leakage
    for outcome in experiment.declaration.outcomes:
        sql = render(
            "quality/outcome_by_bin.sql",
            cells=experiment.tables.cells,
            events=experiment.outcome(outcome.name).events,
            feature_names=[Identifier.of(name) for name in names],
            feature_list=Identifier.listed(names),
        )
        rows = db.rows(sql)
        for i, name in enumerate(names):
            # grouping_id counts from the left; the one bit that is 0 is the feature grouped by
            own = (1 << len(names)) - 1 - (1 << (len(names) - 1 - i))
            bins = [(r[0], r[1 + i], r[-2], r[-1]) for r in rows if r[-3] == own]
            found = _bins_auc(bins)
            off = found.value > limit and found.ci_low > 0.5  # noqa: PLR2004 - AUC of a coin
            yield Finding(
                check="leakage",
                rule=f"auc of {outcome.name}",
                column=name,
                value=f"{found.value:.4f} ± {found.std_error:.4f}",
                message=f"{experiment.name}: column '{name}' alone tells who has '{outcome.name}' with "
                f"AUC {found.value:.3f} (at most {limit} is accepted): it knows the outcome. Take it "
                "out of features.sql, or raise quality.leakage if it was known before the treatment"
                if off
                else "",
                passed=not off,
            )


def _bins_auc(bins: list[tuple[str, float | None, float, float]]) -> Estimate:
    """AUC on held-out users of bins ordered by their rate among train users."""
    rates = {_bin(value): events / users for split, value, users, events in bins if split == "train"}
    held_out = [row for row in bins if row[0] == "holdout" and _bin(row[1]) in rates]
    score = np.asarray([rates[_bin(row[1])] for row in held_out])
    events = np.asarray([row[3] for row in held_out])
    users = np.asarray([row[2] for row in held_out])
    return auc(score, events, users - events) if held_out else Estimate(math.nan, math.nan)


def _bin(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def check_score_drift(db: Warehouse, experiment: BatchExperiment) -> Iterator[Finding]:
    """Scores of held-out users must look like those of train users."""
    limit, scores = experiment.declaration.quality.drift, experiment.tables.scores
    step = math.ceil(db.count(scores) / RANKED_SCORES)
    for arm in experiment.declaration.treatments:
        for learner, column in SCORES.items():
            sql = render("quality/score_bins.sql", scores=scores, score=Identifier.of(column))
            rows = db.arrow(sql, {"arm": arm, "step": step}).to_pylist()
            train, holdout = (_counts(rows, split) for split in ("train", "holdout"))
            found = stability_index(train, holdout)
            yield Finding(
                check="drift",
                rule=f"stability index of {arm}, {learner}",
                column=column,
                value=f"{found:.4f}",
                message=f"{experiment.name}: column '{column}': scores of held-out users for '{arm}' "
                f"are spread otherwise than those of train users (stability index {found:.3f}, {limit} "
                "is a lot); the model may not hold for new users"
                if found > limit
                else "",
                passed=found <= limit,
                warn=True,
            )


def _counts(rows: list[dict[str, Any]], split: str) -> Doubles:
    counts = np.zeros(SCORE_BINS)
    for row in rows:
        if row["split"] == split:
            counts[int(row["bin"])] += row["n"]
    return counts
