"""Chances of the treatment: counted ones, and what is refused, with column, rows and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs import propensities
from dagster_project.inputs.assignment import assignment_query
from dagster_project.inputs.propensities import refuse_unfit_propensities, refuse_unknown_propensities
from dagster_project.warehouse.connection import Warehouse
from tests.support import make_table, memory_warehouse, with_experiment
from uplift_core.errors import DataError
from uplift_core.experiment.strata import Stratum

COLUMNS = "user_id bigint, region varchar, wave int, p varchar, treated int, converted int"
# North is treated at one half, south at three quarters.
USERS = [
    (1, "north", 1, "0.5", 1, 0),
    (2, "north", 1, "0.5", 0, 1),
    (3, "south", 2, "0.75", 1, 0),
    (4, "south", 2, "0.75", 1, 0),
    (5, "south", 2, "0.75", 1, 1),
    (6, "south", 2, "0.75", 0, 0),
]
STRATA = (
    Stratum(values=("north", 1), shares={"treated": 0.5, "control": 0.5}),
    Stratum(values=("south", 2), shares={"treated": 0.75, "control": 0.25}),
)
DECLARED = {"strata": ("region", "wave"), "stratum": STRATA}
COUNTED = {"strata": ("region", "wave"), "strata_shares": "counted"}
COLUMN = {"propensity_column": "p"}


@pytest.fixture
def db() -> Iterator[Warehouse]:
    db = memory_warehouse()
    yield db
    db.con.close()


def shares(experiment: BatchExperiment, treated: float, **declared: object) -> BatchExperiment:
    by_arm = {"treated": treated, "control": 1 - treated}
    arms = tuple(a.model_copy(update={"share": by_arm[a.name]}) for a in experiment.declaration.arms)
    return with_experiment(experiment, arms=arms, **declared)


def assign(
    db: Warehouse, experiment: BatchExperiment, users: Sequence[Sequence[object]] = USERS
) -> dict[int, float]:
    make_table(db, "raw.simulated", COLUMNS, users)
    refuse_unknown_propensities(db, experiment)
    db.create(experiment.tables.assignment, *assignment_query(experiment))
    refuse_unfit_propensities(db, experiment)
    return dict(db.rows("select user_id, propensity from assignment.simulated order by user_id"))


@pytest.mark.parametrize("declared", [DECLARED, COUNTED, COLUMN], ids=["declared", "counted", "column"])
def test_each_user_has_the_chance_of_the_design(
    db: Warehouse, simulated: BatchExperiment, declared: dict[str, object]
) -> None:
    found = assign(db, shares(simulated, 4 / 6, **declared))
    assert found == {1: 0.5, 2: 0.5, 3: 0.75, 4: 0.75, 5: 0.75, 6: 0.75}


@pytest.mark.parametrize("value", [None, "0", "1", "1.5", "-0.1", "often", "nan"])
def test_a_chance_outside_0_and_1_is_refused(
    db: Warehouse, simulated: BatchExperiment, value: str | None
) -> None:
    users = [*USERS, (7, "north", 1, value, 1, 0), (8, "north", 1, value, 0, 0)]
    shown = "nothing" if value is None else f"'{value}'"
    says = f"propensity_column = 'p' holds no chance .* in 2 rows, .* user_id 7 with {shown}; give each"
    with pytest.raises(DataError, match=says):
        assign(db, shares(simulated, 4 / 6, **COLUMN), users)


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ((7, None, 1, "0.5", 1, 0), r"are missing in 1 rows, the first of them user_id 7; give each"),
        (
            (7, "west", 3, "0.5", 1, 0),
            r"user_id 7, are in the stratum \['west', '3'\] .* add its shares",
        ),
    ],
)
def test_a_user_of_no_stratum_is_refused(
    db: Warehouse, simulated: BatchExperiment, user: tuple[object, ...], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        assign(db, shares(simulated, 4 / 6, **DECLARED), [*USERS, user])


def test_a_stratum_of_one_arm_is_refused(db: Warehouse, simulated: BatchExperiment) -> None:
    with pytest.raises(DataError, match="are in one arm, so it tells no effect; leave them out"):
        assign(db, shares(simulated, 4 / 6, **COUNTED), [*USERS, (7, "west", 3, "0.5", 1, 0)])


def test_shares_that_do_not_fit_the_chances_are_refused(
    db: Warehouse, simulated: BatchExperiment
) -> None:
    with pytest.raises(DataError, match=r"whose mean is 0.6667; set share = 0.6667, and .* to 0.3333"):
        assign(db, shares(simulated, 0.5, **COLUMN))


def test_too_many_different_chances_are_refused(
    db: Warehouse, simulated: BatchExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propensities, "MOST_VALUES", 1)
    with pytest.raises(DataError, match="has 2 different values"):
        assign(db, shares(simulated, 4 / 6, **COLUMN))
