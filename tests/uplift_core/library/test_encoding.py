"""Columns become the features that the same model's SQL computes."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tests.uplift_core.library.conftest import HOW
from uplift_core.errors import DataError
from uplift_core.library.encoding import Encoding

USERS: dict[str, Any] = {
    "Größe (cm)": [170.5, None, 1e20],
    "vip": [True, None, False],
    "city": ["Bern", "Genf", None],
    "it's": ["a'b", "c", "d"],
    "place": pa.array(["x", "y", "x"]).dictionary_encode(),
    "n": pa.array([2**53 + 1, None, -3], pa.int64()),
}


def by_sql(encoding: Encoding, table: pa.Table) -> np.ndarray:
    con = duckdb.connect()
    con.execute("create schema raw")
    con.register("rows_", table)
    con.execute("create table raw.library as select row_number() over () as user_id, * from rows_")
    computed = con.sql(encoding.sql("library") + " order by user_id").to_arrow_table()
    assert {str(field.type) for field in computed.schema} == {"int64", "float"}
    columns = [computed.column(name).to_numpy() for name in encoding.features]
    return np.column_stack(columns)


def test_features_are_those_of_the_sql(users: dict[str, np.ndarray]) -> None:
    for columns, names in ((USERS, [*USERS]), (users, HOW["features"])):
        table = pa.table(columns)
        encoding = Encoding.learn(table, names)
        ours = encoding.encode(table)
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, by_sql(encoding, table))


def test_names_and_kinds_of_features() -> None:
    encoding = Encoding.learn(pa.table(USERS), [*USERS])
    assert encoding.features == (
        *("groesse_cm", "vip", "city_bern", "it_s_a_b", "it_s_c", "it_s_d", "place_x", "n"),
    )
    x = encoding.encode(pa.table(USERS))
    assert np.isnan(x[2, 2])  # a missing text is a missing flag
    assert x[:2, 2].tolist() == [1, 0]


def test_a_text_of_many_values_is_the_place_of_its_value() -> None:
    values = [f"v{k}" for k in range(20) for _ in range(20 - k)]
    encoding = Encoding.learn(pa.table({"v": values}), ["v"])
    assert encoding.features == ("v",)
    assert encoding.encode(pa.table({"v": ["v0", "v19"]})).ravel().tolist() == [1, 20]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["Bern", "Zug", "Bern"], "city: 'Zug' did not occur in training; it stands in 1 rows"),
        ([1, 2, 3], ""),
    ],
)
def test_an_unknown_text_is_refused(column: list[object], message: str) -> None:
    encoding = Encoding.learn(pa.table({"city": ["Bern", "Genf", "1", "2", "3"]}), ["city"])
    if not message:
        assert encoding.encode(pa.table({"city": column})).shape == (3, 5)
        return
    with pytest.raises(DataError, match=message):
        encoding.encode(pa.table({"city": column}))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([np.inf, 1.0], "c: is infinite in 1 rows, the first of them row 0"),
        ([1e300, 1.0], "c: is beyond what a float32 holds"),
        ([str(k) for k in range(1_001)], "c: has 1,001 different texts"),
        ([None, None], ""),
        (pa.array([0, 1], pa.date32()), "c: date32"),
    ],
)
def test_what_cannot_be_a_feature_is_refused(column: Any, message: str) -> None:
    table = pa.table({"c": column})
    if not message:
        assert np.isnan(Encoding.learn(table, ["c"]).encode(table)).all()
        return
    with pytest.raises(DataError) as refused:
        Encoding.learn(table, ["c"]).encode(table)
    assert message in str(refused.value)
