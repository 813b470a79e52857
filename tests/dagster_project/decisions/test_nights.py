"""Nights: the requested, promised and realised figures, and the gates that a list must pass."""

from __future__ import annotations

from datetime import date

import pytest

from dagster_project.decisions.gates import GateError
from dagster_project.decisions.records import Night
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from tests.support import SMALL, dicts, failure_text, opened, run_job, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.experiment.decision_rules import Decisions, GateLimits
from uplift_core.targeting.budget import Budget

LATER = "2999-12-31"
BEFORE = "2025-06-01"


def nights(home: Home) -> list[str]:
    with opened(home) as db:
        return [str(row[0]) for row in db.rows("select decision_date::varchar from decisions.nights")]


def write(db: Warehouse, experiment: BatchExperiment, share: float, **options: str) -> Night:
    budget = Budget(share=share)
    return write_treat_list(
        db,
        experiment,
        decision_date=LATER,
        arm="treated",
        budget=budget,
        **options,
        assign_roles=assign_roles,
    )


def limited(experiment: BatchExperiment, **limits: float) -> BatchExperiment:
    return with_experiment(experiment, decisions=Decisions(gates=GateLimits(**limits)))


def test_a_night_reports_what_was_asked_and_done(home: Home, simulated: BatchExperiment) -> None:
    with opened(home) as db:
        night = write(db, simulated, 0.25)
        (row,) = dicts(db, "from decisions.nights where decision_date = $d::date", {"d": LATER})
        counts = dict(db.rows("select decision, count(*) from decisions.treat_list "
                              "where decision_date = $d::date group by all", {"d": LATER}))  # fmt: skip
        (above,) = db.one(
            "select avg((score >= threshold)::int) from decisions.treat_list where decision_date = $d",
            {"d": LATER},
        )
    assert (night.treated, night.realised_rate, night.budget_used) == (1250, 0.25, 0.25)
    assert (row["treated"], row["decision_date"]) == (1250, date(2999, 12, 31))
    assert (row["holdout"], row["suppressed"]) == (counts["holdout"], 0)
    assert row["eligible"] == SMALL - counts["holdout"]
    assert row["threshold_rate"] == pytest.approx(above)
    assert row["expected_rate"] >= 0.25 - 1e-3
    assert (row["entered"], row["exited"]) == (0, 250)


def test_the_promise_is_the_effect_among_held_out_users_of_those_scores(
    home: Home, simulated: BatchExperiment
) -> None:
    with opened(home) as db:
        everybody = with_experiment(simulated, decisions=Decisions(holdout=0, explore=0))
        full = write(db, everybody, 1.0, override="a test")
        ((ate, error),) = db.rows(
            "select incremental, incremental_std_error from evaluation.policy_value where budget = 1 "
            "and learner = $learner and estimator = 'aipw' and outcome = 'converted'",
            {"learner": full.learner},
        )
        assert (full.promised, full.promised_std_error) == pytest.approx((ate, error), rel=0.01)
        best = write(db, everybody, 0.1, override="a test")
        (truth,) = db.one(
            "select avg(true_cate) from decisions.treat_list as list join raw.simulated using (user_id) "
            "where decision_date = $d::date and list.treated",
            {"d": LATER},
        )
    assert best.promised == pytest.approx(truth, abs=3 * best.promised_std_error)


@pytest.mark.parametrize(
    ("limits", "share", "reason"),
    [
        ({"list_change": 0.1}, 0.1, r"in 50\.0% of its users: 0 entered, 1000 left"),
        ({"realised_rate": 0.01}, 0.99, "of users are treated where the budget is 0.99"),
        ({"threshold_rate": 0.0}, 0.29, "of users are at or above the held-out threshold"),
    ],
)
def test_a_gate_that_fails_writes_nothing_unless_overruled(
    home: Home, simulated: BatchExperiment, limits: dict[str, float], share: float, reason: str
) -> None:
    folder = limited(simulated, **({"list_change": 1.0} | limits))
    with pytest.raises(GateError, match=reason), opened(home) as db:
        write(db, folder, share)
    with opened(home) as db:
        assert db.one("select count(*) from decisions.treat_list") == (SMALL,)
        assert db.one("select count(*) from decisions.gates where not passed") == (0,)
        night = write(db, folder, share, override="the spring sale")
        assert night.override == "the spring sale"
        (gate,) = limits
        failed = db.rows("select gate from decisions.gates where not passed")
        assert failed == [(gate,)]


def test_a_list_cut_by_the_threshold_passes_the_gate_of_what_the_threshold_promises(
    home: Home, simulated: BatchExperiment
) -> None:
    cut = Decisions(cut="threshold", holdout=0.2, gates=GateLimits(list_change=1.0))
    folder = with_experiment(simulated, decisions=cut)
    with opened(home) as db:
        night = write(db, folder, 0.2)
        rows = dicts(db, "from decisions.treat_list where decision_date = $d::date", {"d": LATER})
        gates = dicts(db, "from decisions.gates where decision_date = $d::date", {"d": LATER})
        (rules,) = dicts(db, "from decisions.list_rules where decision_date = $d::date", {"d": LATER})
    ranked = [r for r in rows if r["decision"] in {"treat", "no_treat"}]
    assert all(r["treated"] == (r["score"] >= r["threshold"]) for r in ranked)
    above = sum(r["treated"] for r in ranked)
    assert night.treated == above + night.explored == sum(r["treated"] for r in rows)
    assert (night.budget_asked, night.budget_used) == (0.2, night.treated / SMALL)
    assert night.realised_rate < 0.19, "a fifth of those above the threshold are held out"
    (gate,) = [g for g in gates if g["gate"] == "realised_rate"]
    promised = (len(ranked) * night.expected_rate + night.explored) / SMALL
    assert gate["value"] == pytest.approx(abs(night.realised_rate - promised) / promised)
    assert gate["passed"]
    assert "where the threshold promises" in gate["message"]
    assert (rules["cut"], rules["budget"], rules["holdout"]) == ("threshold", 0.2, 0.2)
    assert rules["salt"] == simulated.declaration.split.salt


def test_a_threshold_that_treats_far_more_than_it_promises_is_stopped(
    home: Home, simulated: BatchExperiment
) -> None:
    limits = {"list_change": 1.0, "threshold_rate": 1.0}
    cut = Decisions(cut="threshold", gates=GateLimits(**limits))
    with opened(home) as db:
        columns = ", ".join(
            f"{name} = 1" for name in ("cate_s", "cate_t", "cate_x", "cate_r", "cate_dr")
        )
        db.rows(f"update scores.simulated set {columns} where split = 'train'")
        with pytest.raises(GateError, match="are treated where the threshold promises"):
            write(db, with_experiment(simulated, decisions=cut), 0.3)


def test_a_number_of_users_or_money_is_no_budget_of_a_threshold(
    home: Home, simulated: BatchExperiment
) -> None:
    folder = with_experiment(simulated, decisions=Decisions(cut="threshold"))
    with opened(home) as db:
        for budget in (Budget(users=100), Budget(money=5.0)):
            with pytest.raises(DataError, match="takes a share of users"):
                write_treat_list(
                    db,
                    folder,
                    decision_date=LATER,
                    arm="treated",
                    budget=budget,
                    assign_roles=assign_roles,
                )


def test_an_override_that_was_not_needed_is_not_recorded(home: Home, simulated: BatchExperiment) -> None:
    with opened(home) as db:
        night = write(db, limited(simulated, list_change=1.0), 0.3, override="to be sure")
    assert night.override is None


def test_what_gates_refused_can_be_read(home: Home, simulated: BatchExperiment) -> None:
    strict = limited(simulated, threshold_rate=0.0)
    (standing,) = nights(home)
    for date_ in (BEFORE, standing):
        run = {"only": ["treat_list"], "decision_date": date_, "raise_on_error": False}
        result = run_job(strict, home.root, config={"treat_list": {"budget": 0.29}}, **run)
        assert "at or above the held-out threshold" in failure_text(result)
    assert nights(home) == [standing]
    with opened(home) as db:
        refused = db.rows("select decision_date::varchar, gate from decisions.gates where not passed")
    assert refused == [(BEFORE, "threshold_rate")], "the answers about a list that stands are kept"


def test_a_list_that_is_made_again_is_not_measured(home: Home, simulated: BatchExperiment) -> None:
    (tonight,) = nights(home)
    with opened(home) as db:
        columns = [str(row[0]) for row in db.rows("describe decisions.realised")]
        known = {"decision_date": tonight, "experiment": "simulated", "campaign": "treated"}
        row = {name: known.get(name, 1) for name in columns}
        db.rows(
            f"insert into decisions.realised by name select {', '.join(f'${n} as {n}' for n in row)}",
            row,
        )
        assert db.one("select count(*) from decisions.realised") == (1,)
        write_treat_list(
            db,
            simulated,
            decision_date=tonight,
            arm="treated",
            budget=Budget(share=0.3),
            assign_roles=assign_roles,
        )
        assert db.one("select count(*) from decisions.realised") == (0,)


def test_a_broken_assignment_stops_the_list(home: Home, simulated: BatchExperiment) -> None:
    with opened(home) as db:
        db.rows("update assignment.simulated set arm = 'treated' where user_id % 20 = 0")
        with pytest.raises(GateError, match="arm 'control' differs from its designed share"):
            write(db, simulated, 0.3)
