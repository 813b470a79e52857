"""Treat lists: exact size, the best first, one date at a time."""

from __future__ import annotations

import pytest

from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from tests.support import SMALL, opened
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError, ExperimentError
from uplift_core.learner_names import LEARNER_NAMES
from uplift_core.targeting.budget import Budget

DATE = "2999-12-31"
TREATED = "select count(*) filter (treated), count(*) from decisions.treat_list "


@pytest.mark.parametrize(("share", "size"), [(0.0, 0), (0.1, 500), (0.3333, 1667), (0.9, 4500)])
def test_the_list_is_of_exact_size(
    home: Home, simulated: BatchExperiment, share: float, size: int
) -> None:
    with opened(home) as db:
        assert (
            write_treat_list(
                db,
                simulated,
                ListOrder(
                    decision_date=DATE,
                    arm="treated",
                    budget=Budget(share=share),
                    override="another budget than last night's",
                ),
                assign_roles,
            ).treated
            == size
        )
        assert db.one(TREATED + "where decision_date = $date::date", {"date": DATE}) == (size, SMALL)


def test_a_second_list_of_a_date_replaces_the_first_and_no_other(
    home: Home, simulated: BatchExperiment
) -> None:
    with opened(home) as db:
        ((today,),) = db.rows("select distinct decision_date from decisions.treat_list")
        before = db.rows("from decisions.treat_list order by user_id")
        for share in (0.5, 0.2):
            write_treat_list(
                db,
                simulated,
                ListOrder(
                    decision_date=DATE, arm="treated", budget=Budget(share=share), override="a test"
                ),
                assign_roles,
            )
        assert db.one(TREATED + "where decision_date = $date::date", {"date": DATE}) == (1000, SMALL)
        again = db.rows(
            "from decisions.treat_list where decision_date = $date order by user_id", {"date": today}
        )
        assert again == before


def test_the_threshold_is_that_of_the_holdout_at_the_same_budget(home: Home) -> None:
    with opened(home) as db:
        ((listed, published, learner),) = db.rows(
            "select distinct l.threshold, t.threshold, l.learner from decisions.treat_list as l "
            "join decisions.thresholds as t using (model_version, arm, learner, budget)"
        )
        assert listed == published
        occurs = (
            "select count(*) from scores.simulated "
            f"where split = 'holdout' and cate_{learner} = $at::float"
        )
        assert db.one(occurs, {"at": listed})[0] > 0


def test_thresholds_treat_at_least_their_budget_of_the_holdout(home: Home) -> None:
    with opened(home) as db:
        rows = db.rows("select budget, treated_share, n, learner from decisions.thresholds")
    assert len(rows) == len(LEARNER_NAMES) * 100
    for budget, share, n, learner in rows:
        assert share * n >= round(budget * n) - 1e-6, (learner, budget)


@pytest.mark.parametrize(
    ("change", "error", "fault"),
    [
        (
            {"arm": "control"},
            ExperimentError,
            r"'control' is no treatment arm; choose one of \['treated'\]",
        ),
        ({"arm": "nobody"}, ExperimentError, "'nobody' is no treatment arm"),
        ({"budget": Budget(share=30.0)}, DataError, r"budget 30\.0: must be a share from 0 to 1"),
        ({"budget": Budget(share=-0.1)}, DataError, "must be a share"),
        ({"budget": Budget(users=SMALL + 1)}, DataError, "5001 users: must be from 0 to 5000"),
        ({"budget": Budget(money=10.0)}, DataError, "needs the arm's cost and the outcome's value"),
        ({"budget": Budget()}, DataError, "given are none"),
        ({"budget": Budget(share=0.1, users=3)}, DataError, r"given are \['share', 'users'\]"),
    ],
)
def test_a_list_nobody_can_mean_is_refused(
    home: Home,
    simulated: BatchExperiment,
    change: dict[str, object],
    error: type[Exception],
    fault: str,
) -> None:
    arguments = {"decision_date": DATE, "arm": "treated", "budget": Budget(share=0.3)} | change
    with opened(home) as db:
        before = db.rows("select count(*) from decisions.treat_list")
        with pytest.raises(error, match=fault):
            write_treat_list(db, simulated, ListOrder(**arguments), assign_roles)
        assert db.rows("select count(*) from decisions.treat_list") == before
