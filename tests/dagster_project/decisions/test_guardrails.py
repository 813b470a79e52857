"""A guardrail that is breached stops the next list; a reason overrules it and is recorded."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.gates import GateError
from dagster_project.decisions.realised import measure
from dagster_project.decisions.records import Night
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from tests.dagster_project.decisions.test_arrivals import take
from tests.support import opened, small_simulation, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.experiment.arrivals import Arrivals
from uplift_core.experiment.decision_rules import Decisions, Guardrail
from uplift_core.experiment.declaration import Experiment
from uplift_core.targeting.budget import Budget


def guarded(experiment: BatchExperiment, event: str, most: float) -> BatchExperiment:
    return with_experiment(experiment, decisions=Decisions(guardrails={event: Guardrail(max=most)}))


def write(db: Warehouse, experiment: BatchExperiment, day: date, **options: str) -> Night:
    order = ListOrder(str(day), arm="treated", budget=Budget(share=0.3), **options)
    return write_treat_list(db, experiment, order, assign_roles)


def gate_of(db: Warehouse, day: date, event: str) -> tuple[object, ...]:
    return db.one(
        "select value, passed, message from decisions.gates where decision_date = $day::date "
        f"and gate = 'guardrail_{event}'",
        {"day": str(day)},
    )


def test_a_breach_stops_the_next_list_and_a_reason_overrules_it(
    home: Home, simulated: BatchExperiment, tmp_path: Path
) -> None:
    experiment = guarded(simulated, "converted", 0.05)
    file = tmp_path / "outcomes.csv"
    with opened(home) as db:
        (first,) = db.one("select decision_date from decisions.nights")
        tomorrow = first + timedelta(days=1)
        db.rows(
            f"copy (select user_id, (user_id % 5 = 0)::int as converted from raw.simulated) to '{file}'"
        )
        measure(db, experiment, decision_date=str(first), file=file, absent_is_zero=False)
        with pytest.raises(
            GateError, match=r"'converted' happened after 2.*at most 5\.0000% is accepted"
        ):
            write(db, experiment, tomorrow)
        night = write(db, experiment, tomorrow, override="the file of unsubscriptions was wrong")
        assert night.override == "the file of unsubscriptions was wrong"
        value, passed, _ = gate_of(db, tomorrow, "converted")
        assert (value > 0.05, passed) == (True, False)
        lenient = guarded(simulated, "converted", 0.3)
        assert write(db, lenient, tomorrow + timedelta(days=1)).override is None


def test_an_event_that_is_no_outcome_arrives_and_is_judged_before_its_window_has_closed(
    home: Home, simulated: BatchExperiment, tmp_path: Path
) -> None:
    arrivals = Arrivals(path=tmp_path / "events.csv", within_days={"unsubscribe": 30})
    experiment = with_experiment(guarded(simulated, "unsubscribe", 0.01), arrivals=arrivals)
    with opened(home) as db:
        (first,) = db.one("select decision_date from decisions.nights")
        tomorrow = first + timedelta(days=1)
        write(db, experiment, tomorrow)
        value, passed, message = gate_of(db, tomorrow, "unsubscribe")
        assert (value, passed) == (None, True)
        assert "has not been measured yet" in message
        db.rows(
            f"copy (select user_id, $first::timestamp + interval 3 hour as moment, 1 as unsubscribe "
            f"from raw.simulated where user_id % 10 = 0) to '{tmp_path}/events.csv'",
            {"first": str(first)},
        )
        take(db, experiment)
        assert db.one("select bool_and(provisional) from decisions.measured") == (True,)
        with pytest.raises(GateError, match="'unsubscribe' happened after"):
            write(db, experiment, tomorrow)


@pytest.mark.parametrize(
    ("guardrails", "fault"),
    [
        ({"unsubscribe": {"max": 0.002}}, "say where it arrives, in arrivals.within_days"),
        ({"converted": {"max": 0.0}}, "greater than 0"),
        ({"converted": {"max": 1.0}}, "less than 1"),
    ],
)
def test_a_guardrail_that_cannot_be_meant_is_refused(guardrails: dict[str, object], fault: str) -> None:
    data = small_simulation().declaration.model_dump() | {"decisions": {"guardrails": guardrails}}
    with pytest.raises(ValueError, match=fault):
        Experiment.model_validate(data)
