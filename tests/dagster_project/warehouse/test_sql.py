"""Templates take identifiers only; values are bound."""

from __future__ import annotations

import duckdb
import pytest

from dagster_project.warehouse.sql import Identifier, render, sql_sha256
from dagster_project.warehouse.table_names import OutcomeNames, Tables
from tests.support import folder_of
from uplift_core.errors import UpliftError
from uplift_core.experiment.design import Outcome

SCORE_BINS = "quality/score_bins.sql"


@pytest.mark.parametrize("value", ["raw.users; drop table raw.users", 1, None, ["a"], 0.3])
def test_what_is_no_identifier_is_refused(value: object) -> None:
    with pytest.raises(UpliftError, match=r"is no identifier; bind values as \{\{ bind\.name \}\}"):
        render(SCORE_BINS, scores=Identifier.of("scores", "toy"), score=value)


def test_a_placeholder_left_empty_is_refused() -> None:
    with pytest.raises(UpliftError, match="Undefined is no identifier"):
        render(SCORE_BINS, scores=Identifier.of("scores", "toy"))


def test_identifiers_are_quoted_and_binds_are_parameters() -> None:
    sql = render("decisions/capped_contacts.sql", contacts=Identifier.of("decisions", 'a"b'))
    assert 'from "decisions"."a""b"' in sql
    assert "experiment = $experiment" in sql


@pytest.mark.parametrize("name", ["plain", "select", 'a"b', "a.b", "a; drop table t", "ä"])
def test_any_name_survives_quoting(name: str) -> None:
    with duckdb.connect() as con:
        assert con.sql(f"select 1 as {Identifier.of(name)}").columns == [name]


def test_a_list_of_columns() -> None:
    assert str(Identifier.listed(["a", "b"])) == '"a", "b"'


def test_tables_are_named_after_layer_and_experiment() -> None:
    tables = Tables.of(folder_of("hillstrom").declaration)
    assert str(tables.raw) == '"raw"."hillstrom"'
    assert str(tables.scores) == '"scores"."hillstrom"'
    assert str(tables.cells) == '"training"."hillstrom_cells"'


def test_an_outcomes_names_distinguish_the_raw_column() -> None:
    names = OutcomeNames.of(Outcome(name="visit", kind="binary", column="visited_14d"))
    assert (str(names.column), str(names.name), str(names.sum)) == (
        '"visited_14d"',
        '"visit"',
        '"visit_sum"',
    )


def test_the_sha256_tells_where_one_text_ends() -> None:
    assert sql_sha256("ab", "c") != sql_sha256("a", "bc")
