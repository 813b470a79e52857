"""Nights: the requested, promised and realised figures, and the gates that a list must pass."""

from __future__ import annotations

from datetime import date

import pytest

from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.gates import GateError
from dagster_project.decisions.records import Night
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.contradiction import write_contradictions
from dagster_project.warehouse.connection import Warehouse
from tests.support import SMALL, dicts, failure_text, opened, run_job, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.experiment.decision_rules import Decisions, GateLimits
from uplift_core.learner_names import LEARNER_NAMES
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
        ListOrder(decision_date=LATER, arm="treated", budget=budget, **options),
        assign_roles,
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


def test_a_list_of_a_contradicted_learner_is_not_written_unless_overruled(
    home: Home, simulated: BatchExperiment
) -> None:
    words = "select learner, gate, gate_reason from models.registry order by learner"
    folder = limited(simulated, list_change=1.0)
    with opened(home) as db:
        before = db.rows(words)
        assert write_contradictions(db, simulated) == []
        assert db.rows(words) == before
        (champion,) = db.one("select learner from models.registry where champion")
        db.rows("update models.registry set procedure_gain = 1.0")
        (told,) = write_contradictions(db, simulated)
        assert f"treated, '{champion}': on held-out users it gains" in told
        assert write_contradictions(db, simulated) == [told]  # said once, however often it is asked
        after = {learner: (word, reason) for learner, word, reason in db.rows(words)}
        assert after[champion][0] == "contradicted"
        assert after[champion][1].count("Held-out users contradict that") == 1
        others = [word for name, (word, _) in after.items() if name != champion]
        assert "contradicted" not in others
    refused = pytest.raises(
        GateError, match="Held-out users contradict that: on held-out users it gains"
    )
    with refused, opened(home) as db:
        write(db, folder, 0.3)
    with opened(home) as db:
        assert LATER not in str(db.rows("select decision_date from decisions.nights"))
        night = write(db, folder, 0.3, override="the product owner knows")
        assert night.override == "the product owner knows"
        failed = db.rows("select gate from decisions.gates where not passed")
        assert failed == [("evidence",)]
        db.rows("update models.registry set procedure_gain = 0.0")
        assert write_contradictions(db, simulated) == []
        assert db.rows(words) == before


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
        columns = ", ".join(f"cate_{name} = 1" for name in LEARNER_NAMES)
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
                    ListOrder(decision_date=LATER, arm="treated", budget=budget),
                    assign_roles,
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
            ListOrder(decision_date=tonight, arm="treated", budget=Budget(share=0.3)),
            assign_roles,
        )
        assert db.one("select count(*) from decisions.realised") == (0,)


def test_a_broken_assignment_stops_the_list(home: Home, simulated: BatchExperiment) -> None:
    with opened(home) as db:
        db.rows("update assignment.simulated set arm = 'treated' where user_id % 20 = 0")
        with pytest.raises(GateError, match="arm 'control' differs from its designed share"):
            write(db, simulated, 0.3)


def not_proven(experiment: BatchExperiment, choice: str, **rules: object) -> BatchExperiment:
    decisions = Decisions(when_not_proven=choice, gates=GateLimits(list_change=1.0), **rules)
    return with_experiment(experiment, decisions=decisions)


def set_word(db: Warehouse, word: str) -> None:
    db.rows("update models.registry set gate = $word", {"word": word})


@pytest.mark.parametrize("word", ["inconclusive", "contradicted"])
def test_explore_draws_the_budget_by_chance_with_the_right_propensity(
    home: Home, simulated: BatchExperiment, word: str
) -> None:
    with opened(home) as db:
        set_word(db, word)
        night = write(db, not_proven(simulated, "explore", holdout=0.1), 0.3)
        rows = dicts(db, "from decisions.treat_list where decision_date = $d::date", {"d": LATER})
        (gate,) = dicts(db, "from decisions.gates where decision_date = $d::date and gate = 'evidence'",
                        {"d": LATER})  # fmt: skip
        (rules,) = dicts(db, "from decisions.list_rules where decision_date = $d::date", {"d": LATER})
    assert (night.treated, night.explored, night.promised) == (1500, 1500, None)
    assert {row["decision"] for row in rows} == {"explore", "holdout"}
    eligible = [row for row in rows if row["decision"] == "explore"]
    drawn = 1500 / len(eligible)
    assert [row["propensity"] for row in eligible] == pytest.approx([0.9 * drawn] * len(eligible))
    assert sum(row["propensity"] for row in rows) == pytest.approx(1500, rel=0.02)
    best = sorted(eligible, key=lambda row: -row["score"])[: len(eligible) // 2]
    share = sum(row["treated"] for row in best) / len(best)
    error = (drawn * (1 - drawn) / len(best)) ** 0.5
    assert abs(share - drawn) < 4 * error, "the score has no part in the draw"
    assert gate["passed"]
    assert f"chance draws the users to treat, because '{night.learner}' is {word}" in gate["message"]
    assert rules["holdout"] + rules["explore"] == 1


@pytest.mark.parametrize("choice", ["explore", "stop", "list"])
def test_a_proven_list_ranks_by_the_score_whatever_is_declared(
    home: Home, simulated: BatchExperiment, choice: str
) -> None:
    with opened(home) as db:
        set_word(db, "passed")
        night = write(db, not_proven(simulated, choice), 0.3)
        (ranked,) = db.one("select count(*) from decisions.treat_list where decision = 'treat' "
                           "and decision_date = $d::date", {"d": LATER})  # fmt: skip
    assert ranked == night.treated - night.explored > 0


def test_stop_writes_nothing_unless_overruled(home: Home, simulated: BatchExperiment) -> None:
    stop = not_proven(simulated, "stop")
    with opened(home) as db:
        set_word(db, "inconclusive")
    refused = pytest.raises(
        GateError, match=r"is inconclusive, and \[decisions\] when_not_proven = 'stop'"
    )
    with refused, opened(home) as db:
        write(db, stop, 0.3)
    with opened(home) as db:
        written = "select count(*) from {} where decision_date = $d::date"
        for table in ("decisions.treat_list", "decisions.nights", "decisions.list_rules"):
            assert db.one(written.format(table), {"d": LATER}) == (0,)
        assert write(db, stop, 0.3, override="a test of the letter").override == "a test of the letter"


def test_list_ranks_an_inconclusive_learner_and_says_the_risk(
    home: Home, simulated: BatchExperiment
) -> None:
    with opened(home) as db:
        set_word(db, "inconclusive")
        write(db, not_proven(simulated, "list"), 0.3)
        (gate,) = dicts(db, "from decisions.gates where decision_date = $d::date and gate = 'evidence'",
                        {"d": LATER})  # fmt: skip
    assert gate["passed"]
    assert "choosing by its score is not shown to pay off" in gate["message"]


def test_the_choice_is_not_written_to_manifests_unless_declared() -> None:
    assert "when_not_proven" not in Decisions().model_dump()
    assert Decisions(when_not_proven="stop").model_dump()["when_not_proven"] == "stop"


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (-0.09, "is shown to be worse than treating nobody; nobody should be treated"),
        (-0.01, "is not shown to be better than treating nobody"),
        (0.09, "is shown to be better than treating nobody"),
    ],
)
def test_a_list_that_harms_is_refused(
    home: Home, simulated: BatchExperiment, gain: float, words: str
) -> None:
    folder, passed = limited(simulated, list_change=1.0), "worse" not in words
    figures = {"gain": gain, "error": 0.01}
    with opened(home) as db:
        db.rows(
            "update evaluation.policy_value "
            "set incremental = $gain, incremental_std_error = $error, net_value = null",
            figures,
        )
        db.rows("update models.registry set gain_over_nobody = null")
    if not passed:
        with pytest.raises(GateError, match=words), opened(home) as db:
            write(db, folder, 0.3)
    with opened(home) as db:
        write(db, folder, 0.3, override="to see the gate")
        (gate,) = dicts(db, "from decisions.gates where decision_date = $d::date "
                            "and gate = 'treating_nobody'", {"d": LATER})  # fmt: skip
    assert gate["passed"] is passed
    assert words in gate["message"]
    assert f"{gain:+.5f} ± 0.01000 'converted' per user" in gate["message"]


def test_users_of_the_learners_gate_may_show_that_a_list_harms(
    home: Home, simulated: BatchExperiment
) -> None:
    folder = limited(simulated, list_change=1.0)
    with opened(home) as db:
        db.rows(
            "update models.registry set gain_over_nobody = -0.09, gain_over_nobody_std_error = 0.01, "
            "budget = 0.3"
        )
    shown = (
        r"should be treated: .*held-out users; -0\.09000 ± 0\.01000 .* on users of the learner's gate"
    )
    with pytest.raises(GateError, match=shown), opened(home) as db:
        write(db, folder, 0.3)
    with opened(home) as db:
        assert write(db, folder, 0.1), "the figure is about another budget"


def test_a_list_that_harms_is_refused_by_its_money_where_cost_and_value_are_declared(
    home: Home, simulated: BatchExperiment
) -> None:
    with opened(home) as db:
        db.rows("update evaluation.policy_value set net_value = -2.0, net_std_error = 0.5")
    with pytest.raises(GateError, match=r"-2\.00000 ± 0\.50000 in money after cost"), opened(home) as db:
        write(db, limited(simulated, list_change=1.0), 0.3)


def test_without_fill_nobody_is_treated_who_is_not_worth_it(
    home: Home, simulated: BatchExperiment
) -> None:
    rules = Decisions(fill=False, explore=0.1, gates=GateLimits(list_change=1.0, threshold_rate=1.0))
    with opened(home) as db:
        learner = db.one("select learner from models.registry where champion")[0]
        db.rows(f"update scores.simulated set cate_{learner} = cate_{learner} - "
                f"(select median(cate_{learner}) from scores.simulated)")  # fmt: skip
        night = write(db, with_experiment(simulated, decisions=rules), 0.9)
        rows = dicts(db, "from decisions.treat_list where decision_date = $d::date", {"d": LATER})
    ranked = [row for row in rows if row["decision"] == "treat"]
    left_out = [row for row in rows if row["reason"] == "not_worth_its_cost"]
    assert ranked
    assert min(row["score"] for row in ranked) > 0
    assert left_out
    assert max(row["score"] for row in left_out) <= 0
    assert not any(row["treated"] or row["propensity"] > 0.1 for row in left_out)
    assert night.realised_rate < 0.6
