"""What is published can be added up and subtracted: no whole number is of a type without a sign."""

from __future__ import annotations

import pytest

from tests.support import Open


@pytest.mark.parametrize("name", ["simulated", "hillstrom", "criteo"])
def test_nothing_published_is_of_a_type_without_a_sign(
    name: str, request: pytest.FixtureRequest, snapshot: Open
) -> None:
    con = snapshot(request.getfixturevalue(f"{name}_home"))
    columns = con.execute(
        "select schema_name || '.' || table_name || '.' || column_name, data_type from duckdb_columns() "
        "where not internal"
    ).fetchall()
    assert len(columns) > 100
    assert not [column for column in columns if column[1].startswith("U") and "INT" in column[1]]


@pytest.mark.parametrize(
    ("name", "outcome"), [("simulated", "converted"), ("hillstrom", "visit"), ("criteo", "visit")]
)
def test_outcomes_can_be_added_up_and_subtracted(
    name: str, outcome: str, request: pytest.FixtureRequest, snapshot: Open
) -> None:
    con = snapshot(request.getfixturevalue(f"{name}_home"))
    for table in ("raw", "assignment"):
        users, happened, negated, lowered, scaled = con.execute(
            f"select count(*), sum({outcome}), sum(-{outcome}), sum({outcome} - 1), "
            f"sum(100 * {outcome} + 100) from {table}.{name}"
        ).fetchone()
        assert (negated, lowered) == (-happened, happened - users)
        assert scaled == 100 * (happened + users)
