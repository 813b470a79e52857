"""Data about known users in a snapshot: newest lists, contacts, rules."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pytest

from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.publish import publish
from dagster_project.warehouse.schema import TABLE_RULES, USER_RULES
from tests.support import SMALL, Open, opened, with_experiment
from uplift_core.artifacts.files import sha256_file
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer, write_pointer
from uplift_core.experiment.decision_rules import ContactCap, Decisions
from uplift_core.targeting.budget import Budget

FIRST, SECOND = date(2999, 12, 30), date(2999, 12, 31)
CAPPED = Decisions(contact_cap=ContactCap(treatments=2, days=7))


def decide(
    home: Home, experiment: BatchExperiment, night: date, *, share: float = 0.3, campaign: str = ""
) -> None:
    with opened(home) as db:
        write_treat_list(
            db,
            experiment,
            ListOrder(
                decision_date=str(night),
                arm="treated",
                budget=Budget(share=share),
                campaign=campaign,
                override="a test",
            ),
            assign_roles,
        )


def publish_again(home: Home, experiment: BatchExperiment) -> None:
    with opened(home) as db:
        publish(db, home, experiment)


def test_each_campaigns_newest_list_is_published_in_the_order_of_users(
    home: Home, simulated: BatchExperiment, snapshot: Open
) -> None:
    decide(home, simulated, FIRST, share=0.1)
    decide(home, simulated, FIRST, share=0.5, campaign="spring")
    decide(home, simulated, SECOND, share=0.2)
    publish_again(home, simulated)
    con = snapshot(home.root)
    counts = con.execute(
        "select campaign, decision_date, count(*), count(*) filter (treated) from decisions.listed "
        "group by all order by all"
    ).fetchall()
    assert counts == [
        ("spring", FIRST, SMALL, SMALL // 2),
        ("treated", SECOND, SMALL, SMALL // 5),
    ]
    columns = ", ".join(row[0] for row in con.execute("describe decisions.listed").fetchall())
    lists = f"select {columns} from decisions.treat_list semi join decisions.listed "
    lists += "using (campaign, decision_date)"
    for one, other in (("from decisions.listed", lists), (lists, "from decisions.listed")):
        assert con.execute(f"{one} except all {other}").fetchall() == []
    order = "select user_id from decisions.listed where campaign = 'treated'"
    users = [user for (user,) in con.execute(order).fetchall()]
    assert users == sorted(users)


def test_contacts_that_may_count_still_are_published_and_no_others(
    home: Home, simulated: BatchExperiment, snapshot: Open
) -> None:
    folder = with_experiment(simulated, decisions=CAPPED)
    nights = [SECOND - timedelta(days=k) for k in (7, 6, 1, 0)]  # the first is before the cap's days
    for night in nights:
        decide(home, folder, night, share=0.2)
    publish_again(home, folder)
    con = snapshot(home.root)
    published = con.execute("from decisions.contacts order by all").fetchall()
    with opened(home) as db:
        counted = db.rows(
            "select decision_date, experiment, campaign, user_id from decisions.treat_list "
            "where decision_date > $since and (treated or (decision = 'holdout' and selected)) "
            "qualify count(*) over (partition by user_id) >= 2 order by all",
            {"since": SECOND - timedelta(days=7)},
        )
    assert published == counted
    assert len({row[3] for row in published}) > 500
    arguments = "'simulated', 'treated', $date, 2, 7"
    for days in (1, 5, 6, 7):
        binds = {"date": SECOND + timedelta(days=days)}
        excluded = f"from decisions.excluded_users({arguments}) order by all"
        with opened(home) as db:
            assert con.execute(excluded, binds).fetchall() == db.rows(excluded, binds), days
    assert con.execute(excluded, binds).fetchall() == []


def test_without_a_cap_no_contacts_are_published(
    home: Home, simulated: BatchExperiment, snapshot: Open
) -> None:
    decide(home, simulated, SECOND)
    publish_again(home, simulated)
    assert snapshot(home.root).execute("select count(*) from decisions.contacts").fetchone() == (0,)


def test_the_rules_of_snapshot_and_warehouse_are_the_same(
    home: Home, simulated: BatchExperiment, snapshot: Open
) -> None:
    publish_again(home, simulated)
    sql = (
        "select function_name, parameters, macro_definition from duckdb_functions() "
        "where schema_name = 'decisions' order by all"
    )
    published = snapshot(home.root).execute(sql).fetchall()
    assert {name for name, *_ in published} == {*USER_RULES, *TABLE_RULES}
    with opened(home) as db:
        assert db.rows(sql) == published


def test_lists_that_an_earlier_version_published_are_sorted_when_something_else_is(
    home: Home, simulated: BatchExperiment, snapshot: Open
) -> None:
    """An earlier snapshot has neither the tables nor the rules; other experiments keep their lists."""
    pointer = read_pointer(home.published)
    path = home.published / pointer.file
    with duckdb.connect(str(path)) as con:
        for table in ("listed", "contacts", "list_rules"):
            con.execute(f"drop table decisions.{table}")
        for table in ("nights", "treat_list"):
            con.execute(
                f"insert into decisions.{table} select * replace ('other' as experiment) "
                f"from decisions.{table} where experiment = 'simulated'"
            )
    changed = {
        "sha256": sha256_file(path),
        "experiments": pointer.experiments | {"other": pointer.experiments["simulated"]},
    }
    write_pointer(home.published, pointer.model_copy(update=changed))
    publish_again(home, simulated)
    counts = snapshot(home.root).execute(
        "select experiment, count(*) from decisions.listed group by all order by all"
    )
    assert counts.fetchall() == [("other", SMALL), ("simulated", SMALL)]


@pytest.mark.parametrize("cut", ["size", "threshold"])
def test_a_lists_rules_are_recorded_and_replaced_with_it(
    home: Home, simulated: BatchExperiment, cut: str
) -> None:
    for rules, share in ((Decisions(holdout=0.2), 0.1), (CAPPED.model_copy(update={"cut": cut}), 0.4)):
        decide(home, with_experiment(simulated, decisions=rules), SECOND, share=share)
    with opened(home) as db:
        (row,) = db.rows(
            "select cut, budget, holdout, explore, contact_cap, cap_days from decisions.list_rules "
            "where decision_date = $night",
            {"night": SECOND},
        )
    assert row == (cut, 0.4, 0.05, 0.01, 2, 7)
