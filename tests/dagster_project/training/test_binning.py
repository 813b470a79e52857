"""The generated SQL bins exactly as ``BinEdges.bin`` does: the models see one and the same cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.training.binning import binned_select, float_literal
from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.table_names import Tables
from tests.support import edge_lists, float32s, folder_of
from uplift_core.cells import BinEdges

TABLES = dataclasses.replace(
    Tables.of(folder_of("simulated").declaration), features=Identifier.of("users")
)


def binned_by_sql(edges: BinEdges, columns: Sequence[Sequence[float | None]]) -> list[np.ndarray]:
    """Each feature's bins, by DuckDB, in user order; null becomes NaN."""
    arrays = {name: pa.array(c, pa.float32()) for name, c in zip(edges.features, columns, strict=True)}
    users = pa.table({"user_id": pa.array(range(len(columns[0])), pa.int64()), **arrays})
    with duckdb.connect(config={"threads": 1}) as con:
        con.register("users", users)
        binned = con.sql(f"from ({binned_select(edges, TABLES)}) order by user_id").to_arrow_table()
    assert binned.column_names == ["user_id", *edges.features]
    assert all(binned.schema.field(name).type == pa.float32() for name in edges.features)
    return [binned.column(name).to_numpy() for name in edges.features]


def assert_same_bits(binned: np.ndarray, expected: np.ndarray) -> None:
    missing = np.isnan(expected)
    assert np.isnan(binned).tolist() == missing.tolist()
    assert binned[~missing].view(np.uint32).tolist() == expected[~missing].view(np.uint32).tolist()


@st.composite
def features(draw: st.DrawFn) -> tuple[list[float], list[float | None]]:
    """Edges and values: random ones, the edges themselves, their neighbours, NaN, null, infinity."""
    edges = draw(edge_lists(40))
    with np.errstate(over="ignore"):  # beyond the greatest number lies infinity
        near = [np.nextafter(np.float32(e), np.float32(to)) for e in edges for to in (-np.inf, np.inf)]
    chosen = st.sampled_from([*edges, *map(float, near), np.nan, None, -np.inf, np.inf, 0.0, -0.0])
    return edges, draw(st.lists(float32s() | chosen, min_size=1, max_size=60))


@given(features())
def test_sql_and_numpy_agree_to_the_bit(feature: tuple[list[float], list[float | None]]) -> None:
    values = feature[1]
    edges = BinEdges(("value",), (np.asarray(feature[0], np.float32),))
    (binned,) = binned_by_sql(edges, [values])
    x = np.asarray([np.nan if v is None else v for v in values], np.float32)[:, None]
    assert_same_bits(binned, edges.bin(x)[:, 0])


@pytest.mark.parametrize("n_edges", [1, 2, 3, 255, 256])
def test_every_number_of_bins_is_searched_to_its_ends(n_edges: int) -> None:
    edge = np.linspace(-3, 3, n_edges).astype(np.float32)
    between = np.nextafter(edge, np.float32(-np.inf))
    values = np.concatenate([edge, between, [-100, 100]]).astype(np.float32)
    (binned,) = binned_by_sql(edges := BinEdges(("f",), (edge,)), [values.tolist()])
    assert_same_bits(binned, edges.bin(values[:, None])[:, 0])
    assert len(np.unique(binned)) == n_edges


def test_each_feature_has_its_own_bins_and_names_are_quoted() -> None:
    edges = BinEdges(("select", 'a"b'), (np.float32([0, 1]), np.float32([5, 6])))
    first, second = binned_by_sql(edges, [[0.5, 1.5], [6.5, 5.5]])
    assert (first.tolist(), second.tolist()) == ([0, 1], [6, 5])


@given(float32s())
def test_a_literal_reads_back_as_the_same_number(value: float) -> None:
    with duckdb.connect() as con:
        binned = con.sql(f"select {float_literal(np.float32(value))} as v").to_arrow_table()
    assert binned.column("v").to_numpy().view(np.uint32) == np.float32(value).view(np.uint32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_literal_is_made_of_what_is_no_edge(value: float) -> None:
    with pytest.raises(ValueError, match="is no edge"):
        float_literal(np.float32(value))


def test_the_sql_states_its_grain() -> None:
    sql = binned_select(BinEdges(("f",), (np.float32([0]),)), TABLES)
    assert "Grain: user_id" in sql.split("*/")[0]
