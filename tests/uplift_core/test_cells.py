"""Bins and cells: a cell stands for its users exactly."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import edge_lists, float32s
from uplift_core.cells import MAX_BINS, BinEdges, BinnedUsers, Cells, UserRows, merge
from uplift_core.errors import DataError


def edges_of(*edges: list[float]) -> BinEdges:
    names = tuple(f"f{i}" for i in range(len(edges)))
    return BinEdges(names, tuple(np.asarray(edge, dtype=np.float32) for edge in edges))


def bits(values: np.ndarray) -> list[int]:
    """The float32 values as bit patterns; NaN equals itself, 0 differs from -0."""
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).ravel().tolist()


def test_a_value_goes_to_the_greatest_edge_not_above_it() -> None:
    x = np.asarray(
        [[1.0], [1.5], [2.0], [np.nextafter(np.float32(2), np.float32(0))], [99.0]], np.float32
    )
    assert edges_of([1, 2, 4]).bin(x).ravel().tolist() == [1, 1, 2, 1, 4]


def test_values_below_the_first_edge_belong_to_the_first_bin() -> None:
    x = np.asarray([[-7.0], [-np.inf], [0.999]], np.float32)
    assert edges_of([1, 2]).bin(x).ravel().tolist() == [1, 1, 1]


def test_nan_stays_nan_and_infinity_goes_to_the_last_bin() -> None:
    x = np.asarray([[np.nan, 1], [3, np.nan], [np.inf, 1]], np.float32)
    binned = edges_of([1, 2], [0]).bin(x)
    assert bits(binned) == bits(np.asarray([[np.nan, 0], [2, np.nan], [2, 0]], np.float32))


@given(edges=edge_lists(), values=st.lists(float32s(nan=True), min_size=1, max_size=50))
def test_binning_is_the_definition_and_does_nothing_twice(
    edges: list[float], values: list[float]
) -> None:
    x = np.asarray(values, np.float32)[:, None]
    binned = edges_of(edges).bin(x)
    for value, edge in zip(x.ravel(), binned.ravel(), strict=True):
        if math.isnan(value):
            assert math.isnan(edge)
        else:
            assert edge == max((e for e in edges if e <= value), default=edges[0])
    assert bits(edges_of(edges).bin(binned)) == bits(binned)


@given(st.lists(edge_lists(), min_size=1, max_size=4))
def test_edges_survive_json_to_the_bit(edges: list[list[float]]) -> None:
    before = edges_of(*edges)
    after = BinEdges.from_dict(json.loads(json.dumps(before.to_dict())))
    assert after.features == before.features
    assert [bits(e) for e in after.edges] == [bits(e) for e in before.edges]


@pytest.mark.parametrize("edge", [[], [1, 1], [2, 1], [1, math.nan], [1, math.inf]])
def test_edges_that_bin_nothing_are_refused(edge: list[float]) -> None:
    with pytest.raises(DataError, match="feature 'f0': edges must be"):
        edges_of(edge)


def test_edges_must_be_float32() -> None:
    with pytest.raises(DataError, match="float32"):
        BinEdges(("a",), (np.asarray([1.0]),))


def test_max_bin_holds_every_bin_of_every_feature() -> None:
    assert edges_of([1]).max_bin == MAX_BINS
    assert edges_of([1], list(range(300))).max_bin == 300


def small_cells(**changes: object) -> Cells:
    columns: dict[str, object] = {
        "x": np.asarray([[1], [2]], np.float32),
        "cell": np.asarray([0, 0, 1]),
        "w": np.asarray([0, 1, 0], np.int8),
        "fold": np.asarray([0, 1, 2], np.int8),
        "n": np.asarray([10.0, 20.0, 30.0]),
        "y_sum": np.asarray([5.0, 8.0, 3.0]),
        "events": np.asarray([5.0, 8.0, 3.0]),
        "propensity": 0.5,
        "binary": True,
    }
    return Cells(**(columns | changes))


def test_cells_know_their_means_features_and_rates() -> None:
    cells = small_cells()
    assert cells.y_mean.tolist() == [0.5, 0.4, 0.1]
    assert cells.features.ravel().tolist() == [1, 1, 2]
    assert cells.event_rate == 8 / 40
    assert cells.n_folds == 3


def test_without_a_control_event_one_is_assumed() -> None:
    none = np.zeros(3)
    assert small_cells(y_sum=none, events=none).event_rate == 1 / 40


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(DataError, match=r"differ in length: \[2, 3\]"):
        small_cells(n=np.ones(2))


@pytest.mark.parametrize(("w", "lost"), [(0, "treatment"), (1, "control")])
def test_a_missing_arm_is_refused_by_name(w: int, lost: str) -> None:
    with pytest.raises(DataError, match=f"no user under {lost}"):
        small_cells(w=np.full(3, w, np.int8))


def test_cells_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        small_cells().n = np.ones(3)


def test_merge_keeps_total_weight_weighted_means_and_drops_empty_rows() -> None:
    x = np.asarray([[1], [2], [3]], np.float32)
    merged = merge(
        x,
        key=np.asarray([2, 0, 2, 0]),
        label=np.asarray([1.0, 0.0, 0.0, 1.0]),
        weight=np.asarray([3.0, 1.0, 1.0, 1.0]),
    )
    assert merged.x.ravel().tolist() == [1, 3]
    assert merged.label.tolist() == [0.5, 0.75]
    assert merged.weight.tolist() == [2.0, 4.0]


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.integers(-8, 8), st.integers(1, 9)), min_size=1, max_size=40
    ),
    shift=st.integers(-4, 4),
)
def test_merging_leaves_every_weighted_sum_as_it_was(
    rows: list[tuple[int, int, int]], shift: int
) -> None:
    """The gradient of squared error at any prediction, by features, is the same before and after."""
    key, label, weight = (np.asarray(column) for column in zip(*rows, strict=True))
    x = np.arange(6, dtype=np.float32)[:, None]
    merged = merge(x, key, label.astype(float), weight.astype(float))
    for value, mean, total in zip(merged.x.ravel(), merged.label, merged.weight, strict=True):
        here = key == int(value)
        assert total == weight[here].sum()
        assert (shift - mean) * total == pytest.approx((weight * (shift - label))[here].sum(), abs=1e-9)
    assert set(merged.x.ravel()) == set(key)


@pytest.mark.parametrize("n_features", [3, 40])  # few numbers fit one key; many do not
def test_users_of_equal_bins_are_one_cell_also_where_a_value_is_missing(n_features: int) -> None:
    rng = np.random.default_rng(n_features)
    x = rng.integers(0, 3, (400, n_features)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    x = np.vstack([x, x[::2]])
    edges = BinEdges.of([f"f{j}" for j in range(n_features)], x)
    n = len(x)
    users = UserRows(x, np.arange(n) % 2, np.zeros(n), np.zeros(n), propensity=0.5, binary=True)
    binned = BinnedUsers.of(edges, users)
    assert bits(binned.x[binned.cell]) == bits(x)
    rows = {tuple(bits(row)) for row in x}
    assert len(binned.x) == len(rows)
    # In the order of the features, missing last, as SQL numbers cells.
    order = [tuple(math.inf if math.isnan(v) else v for v in row) for row in binned.x.tolist()]
    assert order == sorted(order)
