"""Thirty nights over three arms with known effects: promise, measurement and truth agree by arm."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
from scipy.stats import binom

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from tests.dagster_project.decisions.lists_of_offers import (
    ARMS,
    column,
    measure_simulated,
    read_list,
    true_lift,
    write,
)
from tests.support import dicts, with_experiment
from uplift_core.experiment.decision_rules import ArmQuota, ContactCap

NIGHTS = 30
QUOTAS = {"call": ArmQuota(max_users=700), "mail": ArmQuota(max_money=400.0)}
CAP = ContactCap(treatments=2, days=4)


def test_thirty_nights_keep_what_they_promise_by_arm(
    offers_db: Warehouse, offers: BatchExperiment, tmp_path: Path
) -> None:
    """Each night draws its explorers and outcomes anew; budgets alternate, quotas and a cap hold.

    Measurements of different nights are independent given the users, so at the nominal rate the number
    of intervals without the truth is binomial. All nights share the held-out users of the promise.
    """
    rules = offers.declaration.decisions.model_copy(update={"contact_cap": CAP, "holdout": 0.3})
    capped = with_experiment(offers, decisions=rules)
    contacts: dict[int, list[date]] = {}
    missed = dict.fromkeys((*ARMS, "all"), 0)
    measured, distances, disagree = dict(missed), [], 0
    for night in range(NIGHTS):
        day = date(2026, 3, 1) + timedelta(days=night)
        share = 0.3 + 0.1 * (night % 2)
        why = "lists alternate, so they change by more than the check allows"
        made = write(offers_db, capped, day.isoformat(), share=share, quotas=QUOTAS, override=why)
        rows = read_list(offers_db, day.isoformat())
        treated, arms = column(rows, "treated"), column(rows, "arm")
        assert np.sum(treated & (arms == "call")) <= 700
        assert np.sum(treated & (arms == "mail")) <= 800
        assert made.spent <= share * len(rows)
        for user in column(rows, "user_id")[treated].tolist():
            recent = [d for d in contacts.get(user, []) if d > day - timedelta(days=CAP.days)]
            assert len(recent) < CAP.treatments
            contacts[user] = [*recent, day]
        measure_simulated(offers_db, capped, tmp_path, rows, seed=100 + night)
        on, lift = column(rows, "decision") == "treat", true_lift(rows)
        figures = dicts(
            offers_db,
            "select arm, uplift, std_error, ci_low, ci_high, agrees, promised, promised_std_error "
            "from decisions.realised_arms where decision_date = $d::date and comparison = 'list' "
            "union all select 'all', uplift, std_error, ci_low, ci_high, agrees, promised, "
            "promised_std_error from decisions.realised where decision_date = $d::date "
            "and campaign = 'best' and comparison = 'list'",
            {"d": day.isoformat()},
        )
        for row in figures:
            truth = lift[on & ((arms == row["arm"]) | (row["arm"] == "all"))].mean()
            missed[row["arm"]] += not row["ci_low"] <= truth <= row["ci_high"]
            distances.append((row["promised"] - truth) / row["promised_std_error"])
            disagree += not row["agrees"]
            measured[row["arm"]] += 1
    # The cap leaves nobody for an arm in some nights.
    assert all(10 <= n <= NIGHTS for n in measured.values()), measured
    for arm, n in measured.items():
        assert missed[arm] <= binom.ppf(0.999, n, 0.05), (arm, missed, measured)
    assert max(np.abs(distances)) < 3.5
    # One error of the promise is in all nights, so they do not disagree independently.
    assert disagree <= 0.2 * sum(measured.values())
