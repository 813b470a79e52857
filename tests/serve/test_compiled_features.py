"""Features without SQL are DuckDB's features, to the bit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.compiled_expressions import NotExactError
from serve.feature_proof import compile_if_equal
from serve.features import FeatureQuery
from serve.release import load_release
from serve.settings import Settings
from serve.snapshot import Snapshot
from tests.support import folder_of
from uplift_core.artifacts.bundle import Manifest, RawColumn

TYPES = {
    "small": "TINYINT",
    "count": "BIGINT",
    "single": "FLOAT",
    "number": "DOUBLE",
    "flag": "BOOLEAN",
    "word": "VARCHAR",
}
FINITE = {"allow_nan": False, "allow_infinity": False}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "small": st.integers(-128, 127),
    "count": st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**24) - 2, 2**24 + 2),
    "single": st.floats(width=32, **FINITE) | st.floats(-10, 10),
    "number": st.floats(**FINITE) | st.sampled_from([0.1, 0.5, 3.0, 16777217.0]),
    "flag": st.booleans(),
    "word": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
    | st.sampled_from(["Urban", "urban", ""]),
}
USERS = st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()})
SUPPORTED = [
    "small::float",
    "count::float",
    "single",
    "number::float",
    "number::double::float",
    "single::double::real",
    "flag::float",
    "(word = 'Urban')::float",
    "(word <> '')::float",
    "(word < 'b' or word >= 'u')::float",
    "(word in ('Urban', 'Rural'))::float",
    "(word not in ('Urban', ''))::float",
    "(count in (1, 2, 16777216))::float",
    "(small > 3 and flag)::float",
    "(small > 3 or flag)::float",
    "(not (number <= 0.5))::float",
    "(single = 0.5)::float",
    "(word is null)::float",
    "(word is not null)::float",
    "coalesce(small, 0)::float",
    "coalesce(single, -1.5)::float",
    "(case when flag then number when small > 0 then 2.5 else null end)::float",
    "(case when word = 'Urban' then 1 else 0 end)::float",
    "case when flag then single end",
]
NOT_COMPILED = [
    "ln(number)::float",
    "(count + 1)::float",
    "(number > 0.1)::float",  # FLOAT does not hold 0.1: the comparison's type matters
    "coalesce(small, 0.5)::float",  # a DECIMAL
    "(single > number)::float",
    "length(word)::float",
    "try_cast(word as float)",
    "small",  # no FLOAT
    "avg(small) over ()::float",
]


def manifest(features: dict[str, str], source: str = "raw.hillstrom") -> Manifest:
    lines = ", ".join(f"{sql} as {name}" for name, sql in features.items())
    columns = [RawColumn(name=name, type=type_) for name, type_ in TYPES.items()]
    return Manifest.model_construct(
        experiment=folder_of("hillstrom").declaration,
        features=tuple(features),
        features_sql=f"select user_id, {lines} from {source}",
        raw_columns=tuple(columns),
    )


@pytest.fixture(scope="module")
def every_kind() -> tuple[FeatureQuery, Manifest]:
    made = manifest({f"f{i}": sql for i, sql in enumerate(SUPPORTED)})
    return FeatureQuery(made), made


@given(user=USERS)
def test_every_kind_of_expression_equals_duckdb_to_the_bit(every_kind, user) -> None:
    query, made = every_kind
    compiled = query.compiled(made)
    assert compiled is not None
    columns = query.schema.rows([user])
    try:
        features = compiled.features(columns)
    except NotExactError:
        big = [user["count"], user["number"]]
        assert any(v is not None and abs(v) > 2**53 for v in big)
        return
    expected = query.features(query.schema.table([columns]))
    assert features.tobytes() == expected.tobytes(), user


@pytest.mark.parametrize("sql", SUPPORTED)
def test_each_supported_expression_is_compiled(sql: str) -> None:
    made = manifest({"f": sql})
    assert FeatureQuery(made).compiled(made) is not None


@pytest.mark.parametrize("sql", NOT_COMPILED)
def test_other_expressions_are_left_to_duckdb(sql: str) -> None:
    made = manifest({"f": sql})
    assert FeatureQuery(made).compiled(made) is None


@pytest.mark.parametrize(
    "source",
    [
        "raw.hillstrom where small > 0",
        "raw.hillstrom limit 5",
        "raw.hillstrom using sample 5",
        "raw.hillstrom as renamed(user_id, flag)",
        "(select * from raw.hillstrom) as t",
        "raw.hillstrom join raw.hillstrom as other using (user_id)",
    ],
)
def test_a_select_with_more_than_a_list_of_features_is_left_to_duckdb(source: str) -> None:
    made = manifest({"f": "flag::float"}, source)
    query = FeatureQuery(manifest({"f": "flag::float"}))
    assert query.compiled(made) is None


def test_a_release_uses_compiled_features_for_few_users_only(
    hillstrom_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_release(Settings(home=hillstrom_home)).model("hillstrom")
    monkeypatch.setattr(FeatureQuery, "features", lambda *_: pytest.fail("DuckDB was called"))
    user = {"recency": 3, "history_segment": "x"} | dict.fromkeys(model.features.schema.columns)
    columns = model.features.schema.rows([{k: user[k] for k in model.features.schema.columns}])
    assert np.isnan(model.features.of_users([columns, columns])).all()
    with pytest.raises(pytest.fail.Exception, match="DuckDB was called"):
        model.features.of_users([columns] * 33)


def test_features_that_differ_are_not_used(
    hillstrom_home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = load_release(Settings(home=hillstrom_home))
    bundle = release.model("hillstrom").bundle.manifest
    query = FeatureQuery(bundle)
    wrong = query.compiled(bundle)
    assert wrong is not None
    wrong._functions[0] = lambda _: math.pi
    monkeypatch.setattr(FeatureQuery, "compiled", lambda *_: wrong)
    assert isinstance(release.snapshot, Snapshot)
    compile_if_equal(query, release.snapshot, bundle)
    assert "differ from DuckDB's" in caplog.text
    assert query._compiled is None


class FewRows:
    """A snapshot that holds these users only."""

    def __init__(self, *users: dict[str, Any]) -> None:
        self.users = users

    def rows(self, _: str) -> list[dict[str, Any]]:
        return list(self.users)


NOTHING: dict[str, Any] = dict.fromkeys(TYPES)


def test_a_user_of_the_snapshot_whom_no_request_can_send_is_passed_over() -> None:
    made = manifest({"f": "(word = 'Urban')::float"})
    columns = tuple(
        column.model_copy(update={"levels": ("Urban",)}) if column.name == "word" else column
        for column in made.raw_columns
    )
    made = made.model_copy(update={"raw_columns": columns})
    query = FeatureQuery(made)
    unseen, seen = NOTHING | {"word": "Rural"}, NOTHING | {"word": "Urban"}
    compile_if_equal(query, FewRows(unseen, seen), made)
    assert query._compiled is not None


def test_a_user_who_is_left_to_duckdb_hides_no_difference_of_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = manifest({"f": "count::float"})
    query = FeatureQuery(made)
    wrong = query.compiled(made)
    assert wrong is not None
    (right,) = wrong._functions
    wrong._functions[0] = lambda row: right(row) + (row["count"] == 3)
    monkeypatch.setattr(FeatureQuery, "compiled", lambda *_: wrong)
    compile_if_equal(query, FewRows(NOTHING | {"count": 2**60}, NOTHING | {"count": 3}), made)
    assert "differ from DuckDB's" in caplog.text
    assert query._compiled is None
