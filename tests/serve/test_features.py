from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from serve.errors import RequestError
from serve.features import FeatureQuery
from tests.serve.support import attributes_of, manifest_of, query
from uplift_core.artifacts.bundle import Manifest, RawColumn
from uplift_core.errors import BundleError


@pytest.fixture(scope="module")
def manifest(simulated_served: Path) -> Manifest:
    return manifest_of(simulated_served, "simulated")


def query_of(manifest: Manifest, sql: str, *columns: tuple[str, str]) -> FeatureQuery:
    """A feature query with hand-made SQL; its feature is called f."""
    raw = tuple(RawColumn(name=name, type=type_) for name, type_ in columns)
    update = {"features_sql": sql, "features": ("f",), "raw_columns": raw}
    return FeatureQuery(manifest.model_copy(update=update))


def features(query: FeatureQuery, attributes: dict[str, object]) -> np.ndarray:
    return query.features(query.schema.table([query.schema.rows([attributes])]))


def test_features_are_the_batchs_in_the_models_order(simulated_served: Path, manifest: Manifest) -> None:
    backwards = manifest.model_copy(update={"features": manifest.features[::-1]})
    for row in query(simulated_served, "from raw.simulated order by user_id limit 20"):
        attributes = attributes_of(simulated_served, "simulated", row)
        (stored,) = query(
            simulated_served, "from features.simulated where user_id = $u", u=row["user_id"]
        )
        expected = np.array([[stored[name] for name in manifest.features]], dtype=np.float32)
        computed = features(FeatureQuery(manifest), attributes)
        assert computed.dtype == np.float32
        np.testing.assert_array_equal(computed, expected)
        np.testing.assert_array_equal(features(FeatureQuery(backwards), attributes), expected[:, ::-1])


def test_null_is_missing(manifest: Manifest) -> None:
    of = query_of(manifest, "select user_id, a::float as f from raw.simulated", ("a", "DOUBLE"))
    assert np.isnan(features(of, {"a": None})).all()
    assert features(of, {"a": 2.5}) == np.float32(2.5)


def test_an_infinite_feature_is_refused_by_name(manifest: Manifest) -> None:
    sql = "select user_id, (case when a < 10 then a else 'inf' end)::float as f from raw.simulated"
    of = query_of(manifest, sql, ("a", "DOUBLE"))
    assert features(of, {"a": 4.0}) == np.float32(4)
    with pytest.raises(RequestError, match="feature 'f' becomes infinite"):
        features(of, {"a": 11})


def test_a_value_that_the_sql_cannot_cast_is_the_callers_error(manifest: Manifest) -> None:
    sql = "select user_id, a::float as f from raw.simulated"
    of = query_of(manifest, sql, ("a", "VARCHAR"))
    assert features(of, {"a": "1.5"}) == np.float32(1.5)
    with pytest.raises(RequestError, match=r"no features can be computed.*'abc'"):
        features(of, {"a": "abc"})


def test_one_query_answers_many_requests_and_survives_a_bad_one(manifest: Manifest) -> None:
    sql = "select user_id, a::float + 1 as f from raw.simulated order by a desc"
    of = query_of(manifest, sql, ("a", "VARCHAR"))
    rng = np.random.default_rng(3)
    for n in (1, 3000, 2, 1):
        values = [None if v < -2 else str(v) for v in rng.normal(size=n).astype(np.float32)]
        expected = [np.nan if v is None else np.float32(v) + np.float32(1) for v in values]
        computed = of.features(of.schema.table([of.schema.rows([{"a": v} for v in values])]))
        np.testing.assert_array_equal(computed[:, 0], np.asarray(expected, np.float32))
        with pytest.raises(RequestError, match="'abc'"):
            features(of, {"a": "abc"})


def test_queries_side_by_side_do_not_meet(manifest: Manifest) -> None:
    sql = "select user_id, (a + sum(a) over ())::float as f from raw.simulated"
    of = query_of(manifest, sql, ("a", "DOUBLE"))

    def total(n: int) -> float:
        rows = of.schema.rows([{"a": float(n)}] * n)
        (value,) = set(of.features(of.schema.table([rows]))[:, 0].tolist())
        return value

    sizes = [1, 700, 30, 2, 5000, 11] * 20
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(total, sizes)) == [float(n + n * n) for n in sizes]


def test_a_user_that_the_sql_drops_is_refused(manifest: Manifest) -> None:
    sql = "select user_id, a::float as f from raw.simulated where a > 0"
    with pytest.raises(RequestError, match="0 rows"):
        features(query_of(manifest, sql, ("a", "DOUBLE")), {"a": -1})


def test_a_bundles_sql_reads_no_files_and_no_python(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("f\n1\n")
    for sql in (
        f"select 0 as user_id, f from read_csv('{tmp_path / 'secret.csv'}')",
        f"from '{tmp_path / 'secret.csv'}'",
        "from empty",  # a local variable where the query is tried
    ):
        with pytest.raises(BundleError, match="reads "):
            query_of(manifest, sql)
