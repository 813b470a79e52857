"""Statistical checks that the data fit the design of the experiment; no single row can fail them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dagster_project.checks.findings import Finding
from dagster_project.checks.units import feature_moments, users_of_arm
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.clusters import assigned_units
from dagster_project.inputs.stratum_sizes import stratum_sizes
from dagster_project.scores.predictions import SCORES
from dagster_project.training.cells import features_of, read_cells, read_edges
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.arrays import Doubles
from uplift_core.cells import Cells
from uplift_core.diagnostics.balance import MAX_Z, HalvedGroups, arm_auc
from uplift_core.diagnostics.sample_ratio import sample_ratio
from uplift_core.diagnostics.statistics import (
    auc,
    beyond_chance,
    mean_difference,
    stability_index,
)
from uplift_core.evaluation.estimate import Z95, Estimate, balance_weights

CLASSIFIED_USERS = 2_000_000  # with more, cells are sampled: far fewer show an AUC of .55
SCORE_BINS = 20
RANKED_SCORES = 1_000_000  # with more, a sample defines the bins
BLOCK = 32  # features of one query; DuckDB's grouping_id knows 64 at most

Bin = tuple[str, float | None, float, float]  # split, value of a feature, users, events


def check_sample_ratio(db: Warehouse, experiment: BatchExperiment) -> Iterator[Finding]:
    """Compare the arms' sizes with their designed shares, within each stratum if there are any."""
    if experiment.declaration.propensity_varies:
        yield _sample_ratio_within(db, experiment)
        return
    shares = {arm.name: arm.share for arm in experiment.declaration.arms}
    units = assigned_units(db, experiment)
    counts = dict.fromkeys(shares, 0) | dict(units.by_arm)
    ratio = sample_ratio(counts, shares)
    limit = experiment.declaration.decisions.gates.sample_ratio
    share = counts[ratio.arm] / sum(counts.values())
    yield Finding(
        check="sample_ratio",
        rule="chi_square",
        column="arm",
        value=f"{ratio.arm} {share:.4f}",
        message=""
        if not ratio.mismatch(limit)
        else f"{experiment.name}: column 'arm': '{ratio.arm}' has {share:.4f} of the {units.word} where "
        f"{shares[ratio.arm]:.4f} were designed (chi-square p = {ratio.p_value:.2g}); {units.word} were "
        "lost or the declared share is wrong: find out which before you learn from the data",
        passed=not ratio.mismatch(limit),
    )


def _sample_ratio_within(db: Warehouse, experiment: BatchExperiment) -> Finding:
    sizes = stratum_sizes(db, experiment)
    ratio, limit = sizes.ratio, experiment.declaration.decisions.gates.sample_ratio
    worst = sizes.worst
    off = ratio.mismatch(limit)
    return Finding(
        check="sample_ratio",
        rule="chi_square within strata",
        column="arm",
        value=f"{ratio.arm} {sizes.n_treated.sum() / sizes.n.sum():.4f}",
        message=f"{experiment.name}: column 'arm': '{ratio.arm}' has {sizes.n_treated[worst]:.0f} of "
        f"{sizes.n[worst]:.0f} {sizes.units} in {sizes.names[worst]}, where {sizes.expected[worst]:.1f} "
        f"were designed (chi-square over all {len(sizes.n)} parts, p = {ratio.p_value:.2g}); "
        f"{sizes.units} were lost or a declared chance is wrong: find out which before you learn from "
        "the data"
        if off
        else "",
        passed=not off,
    )


def check_balance(db: Warehouse, experiment: BatchExperiment) -> Iterator[Finding]:
    """Compare every feature's mean, and its share of known values, by arm: standardized differences."""
    names = features_of(db, experiment)
    known, share = feature_moments(db, experiment, names)
    control, limit = experiment.declaration.control, experiment.declaration.quality.balance
    comparisons = 2 * len(names) * len(experiment.declaration.treatments)
    for arm in experiment.declaration.treatments:
        for position, name in enumerate(names, 1):
            for what, moments in (("mean", known), ("share of known values", share)):
                if (arm, position) not in moments or (control, position) not in moments:
                    continue
                difference = mean_difference(moments[arm, position], moments[control, position])
                off = abs(difference.value) > limit and beyond_chance(difference, comparisons)
                yield Finding(
                    check="balance",
                    rule=f"standardized difference of the {what}, {arm}",
                    column=name,
                    value=f"{difference.value:.4f}",
                    message=f"{experiment.name}: column '{name}': the {what} of arm '{arm}' differs "
                    f"from that of '{control}' by {difference.value:+.3f} standard deviations (at most "
                    f"{limit} is accepted); the arms were not drawn at random, or the feature is from "
                    "after the treatment"
                    if off
                    else "",
                    passed=not off,
                )


def check_predictability(db: Warehouse, experiment: BatchExperiment, threads: int) -> Iterator[Finding]:
    """Check that features do not predict the arm.

    This is a classifier two-sample test (Lopez-Paz & Oquab 2017).
    """
    edges, limit = read_edges(db, experiment), experiment.declaration.quality.predictability
    for arm in experiment.declaration.treatments:
        if experiment.declaration.cluster:
            groups = users_of_arm(db, experiment, arm, CLASSIFIED_USERS)
        else:
            groups = _cells_of_arm(read_cells(db, experiment, arm, edges))
        max_bin = experiment.declaration.learners.max_bins
        estimate = arm_auc(groups, max_bin=max_bin, threads=threads)
        off = estimate.value > limit and beyond_a_coin(estimate, groups)
        yield Finding(
            check="predictability",
            rule=f"auc of {arm}",
            column="arm",
            value=f"{estimate.value:.4f} ± {estimate.std_error:.4f}",
            message=f"{experiment.name}: column 'arm': features separate '{arm}' from the control with "
            f"AUC {estimate.value:.3f} (95 % interval {estimate.ci_low:.3f} to {estimate.ci_high:.3f}, "
            f".5 is chance, at most {limit} is accepted); the arms were not drawn at random, or a "
            "feature is from after the treatment"
            if off
            else "",
            passed=not off,
        )


def beyond_a_coin(area: Estimate, groups: HalvedGroups) -> bool:
    """Return whether an AUC is above that of a coin.

    Of clusters there are few, and then chance alone exceeds the limit: so more errors are asked of them.
    """
    errors = Z95 if groups.cluster is None else MAX_Z
    return area.value - errors * area.std_error > 0.5  # noqa: PLR2004 - AUC of a coin


def _cells_of_arm(cells: Cells) -> HalvedGroups:
    step = math.ceil(cells.n.sum() / CLASSIFIED_USERS)
    sampled = cells.cell % step == 0
    x, half = cells.x[cells.cell[sampled]], cells.fold[sampled] % 2
    groups = HalvedGroups(x, cells.w[sampled], cells.n[sampled], half)
    if cells.propensities is None:
        return groups
    weight = balance_weights(groups.in_arm, cells.propensity, cells.propensities[sampled])
    return replace(groups, weight=weight)


def check_leakage(db: Warehouse, experiment: BatchExperiment) -> Iterator[Finding]:
    """Check that no feature leaks an outcome.

    Its bins, ordered by their rate on train, must not predict held-out events almost perfectly.
    """
    names, limit = features_of(db, experiment), experiment.declaration.quality.leakage
    for outcome in experiment.declaration.outcomes:
        for name, bins in _outcome_by_bin(db, experiment, outcome.name, names):
            estimate = _bins_auc(bins)
            off = estimate.value > limit and estimate.ci_low > 0.5  # noqa: PLR2004 - AUC of a coin
            yield Finding(
                check="leakage",
                rule=f"auc of {outcome.name}",
                column=name,
                value=f"{estimate.value:.4f} ± {estimate.std_error:.4f}",
                message=f"{experiment.name}: column '{name}' alone predicts '{outcome.name}' with AUC "
                f"{estimate.value:.3f} (at most {limit} is accepted): it contains the outcome. Remove "
                "it from features.sql, or raise quality.leakage if it was known before the treatment"
                if off
                else "",
                passed=not off,
            )


def _outcome_by_bin(
    db: Warehouse, experiment: BatchExperiment, outcome: str, names: Sequence[str]
) -> Iterator[tuple[str, list[Bin]]]:
    """Yield each feature with its bins, from one query for a block of features."""
    for start in range(0, len(names), BLOCK):
        block = names[start : start + BLOCK]
        sql = render(
            "quality/outcome_by_bin.sql",
            cells=experiment.tables.cells,
            events=experiment.outcome(outcome).events,
            feature_names=[Identifier.of(name) for name in block],
            feature_list=Identifier.listed(block),
        )
        rows = db.rows(sql)
        for i, name in enumerate(block):
            # grouping_id counts from the left; the only bit that is 0 is the feature of the group by
            grouping = (1 << len(block)) - 1 - (1 << (len(block) - 1 - i))
            yield name, [(r[0], r[1 + i], r[-2], r[-1]) for r in rows if r[-3] == grouping]


def _bins_auc(bins: Sequence[Bin]) -> Estimate:
    """Return the AUC on held-out users of bins that are ordered by their rate among train users."""
    rates = {_bin(value): events / users for split, value, users, events in bins if split == "train"}
    held_out = [row for row in bins if row[0] == "holdout" and _bin(row[1]) in rates]
    score = np.asarray([rates[_bin(row[1])] for row in held_out])
    events = np.asarray([row[3] for row in held_out])
    users = np.asarray([row[2] for row in held_out])
    return auc(score, events, users - events) if held_out else Estimate(math.nan, math.nan)


def _bin(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def check_score_drift(db: Warehouse, experiment: BatchExperiment) -> Iterator[Finding]:
    """Check that scores of held-out users are distributed like those of train users."""
    limit, scores = experiment.declaration.quality.drift, experiment.tables.scores
    step = math.ceil(db.count(scores) / RANKED_SCORES)
    for arm in experiment.declaration.treatments:
        for learner, column in SCORES.items():
            sql = render("quality/score_bins.sql", scores=scores, score=Identifier.of(column))
            rows = db.arrow(sql, {"arm": arm, "step": step}).to_pylist()
            train, holdout = (_counts(rows, split) for split in ("train", "holdout"))
            index = stability_index(train, holdout)
            yield Finding(
                check="drift",
                rule=f"stability index of {arm}, {learner}",
                column=column,
                value=f"{index:.4f}",
                message=f"{experiment.name}: column '{column}': scores of held-out users for '{arm}' "
                f"are distributed differently from those of train users (stability index {index:.3f}, "
                f"{limit} is a lot); the model may not hold for new users"
                if index > limit
                else "",
                passed=index <= limit,
                warn=True,
            )


def _counts(rows: list[dict[str, Any]], split: str) -> Doubles:
    counts = np.zeros(SCORE_BINS)
    for row in rows:
        if row["split"] == split:
            counts[int(row["bin"])] += row["n"]
    return counts
