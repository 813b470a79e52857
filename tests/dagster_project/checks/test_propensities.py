"""The checks of randomization where chances differ: within strata, whatever strata differ in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dagster_project.checks.findings import Finding
from dagster_project.checks.statistics import check_balance, check_predictability, check_sample_ratio
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.stratum_sizes import stratum_sizes
from dagster_project.warehouse.connection import Warehouse
from tests.dagster_project.chances import BY_REGION, BY_USER, COLUMN, REGIONS, STRATA, drawn_anew
from tests.support import INPUTS, opened, run_unchecked
from uplift_core.artifacts.home import Home

USERS = 6_000
COUNTED = {"strata": ("region",), "strata_shares": "counted"}
DESIGNS = {"strata": STRATA, "counted": COUNTED, "column": COLUMN, "clusters": COLUMN}


def alarms(db: Warehouse, experiment: BatchExperiment) -> dict[str, str]:
    found: list[Finding] = [
        *check_sample_ratio(db, experiment),
        *check_balance(db, experiment),
        *check_predictability(db, experiment, 1),
    ]
    assert {each.check for each in found} == {"sample_ratio", "balance", "predictability"}
    return {each.check: each.message for each in found if not each.passed}


@pytest.fixture(scope="module", params=DESIGNS)
def drawn(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Warehouse, BatchExperiment]]:
    """A fair draw; the chance itself is a feature, which a check of all users would take for a leak."""
    folder = tmp_path_factory.mktemp("experiment")
    chance = BY_USER if request.param in ("column", "clusters") else BY_REGION
    cluster = "household" if request.param == "clusters" else ""
    experiment = drawn_anew(folder, chance, USERS, **DESIGNS[request.param], cluster=cluster)
    path = experiment.path / "features.sql"
    path.write_text(path.read_text().replace("x10::float as x10", "p::float as p"), encoding="utf-8")
    experiment = BatchExperiment.read(experiment.declaration, experiment.path)
    home = Home(tmp_path_factory.mktemp("home"))
    run_unchecked(experiment, home.root, INPUTS)
    with opened(home) as db:
        yield db, experiment


def test_a_fair_draw_is_no_alarm(drawn: tuple[Warehouse, BatchExperiment]) -> None:
    db, experiment = drawn
    assert alarms(db, experiment) == {}
    sizes = stratum_sizes(db, experiment)
    assert sizes.n.sum() == USERS
    assert sizes.units == ("clusters" if experiment.declaration.cluster else "users")
    if experiment.declaration.strata:
        assert sizes.names == [f"stratum {region}" for region in sorted(REGIONS)]
        assert list(sizes.expected / sizes.n) == pytest.approx(
            [REGIONS[region] for region in sorted(REGIONS)], abs=0.05
        )
    # Taken for one experiment of equal chances, the same users are refused.
    plain = {"strata": (), "stratum": (), "strata_shares": "declared", "propensity_column": ""}
    assert "predictability" in alarms(db, with_cells_of_one_chance(db, experiment, **plain))


def with_cells_of_one_chance(
    db: Warehouse, experiment: BatchExperiment, **plain: object
) -> BatchExperiment:
    declaration = experiment.declaration.model_copy(update=plain)
    return BatchExperiment(declaration, experiment.path, experiment.features_sql, experiment.tables)


@contextmanager
def changed(db: Warehouse, table: str, sql: str) -> Iterator[None]:
    """Change a table for a while."""
    db.rows(f"create temporary table kept as from {table}")
    try:
        db.rows(sql)
        yield
    finally:
        db.rows(f"create or replace table {table} as from kept")
        db.rows("drop table kept")


def test_users_lost_within_a_stratum_are_told(
    drawn: tuple[Warehouse, BatchExperiment],
) -> None:
    db, experiment = drawn
    if experiment.declaration.strata_shares == "counted":
        assert stratum_sizes(db, experiment).ratio.p_value == pytest.approx(1.0)
        return
    # As many treated users are lost where chances are high as controls where they are low.
    lose = (
        "delete from assignment.simulated where user_id % 4 = 0 and "
        "case when propensity > 0.5 then arm = 'treated' else arm = 'control' end"
    )
    with changed(db, "assignment.simulated", lose):
        (finding,) = check_sample_ratio(db, experiment)
    assert not finding.passed
    assert "were designed (chi-square over all" in finding.message
    word = "stratum" if experiment.declaration.strata else "chances from"
    assert word in finding.message


def test_a_feature_from_after_the_treatment_is_told_within_strata(
    drawn: tuple[Warehouse, BatchExperiment],
) -> None:
    db, experiment = drawn
    later = (
        "update features.simulated as f set x9 = x9 + 0.5 from assignment.simulated as a "
        "where a.user_id = f.user_id and a.arm = 'treated'"
    )
    with changed(db, "features.simulated", later):
        found = [each for each in check_balance(db, experiment) if not each.passed]
    assert {each.column for each in found} == {"x9"}
    assert "the arms were not drawn at random" in found[0].message
