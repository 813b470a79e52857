"""A feature file reads, by name, only columns that were known before the treatment."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_project.declared.feature_sql import FeatureSql, read_feature_sql
from tests.support import EXPERIMENTS
from uplift_core.errors import ExperimentError
from uplift_core.experiment.declaration import FEATURES_SQL, load_experiment

HILLSTROM = load_experiment(EXPERIMENTS / "hillstrom")
RAW = "from raw.hillstrom"


def read(tmp_path: Path, sql: str) -> FeatureSql:
    (tmp_path / FEATURES_SQL).write_text(sql, encoding="utf-8")
    return read_feature_sql(HILLSTROM, tmp_path)


@pytest.mark.parametrize("name", ["criteo", "hillstrom", "simulated"])
def test_built_in_files_pass_and_describe_every_feature(name: str) -> None:
    features = read_feature_sql(load_experiment(EXPERIMENTS / name), EXPERIMENTS / name)
    described = {feature for feature, text in features.descriptions.items() if text}
    assert described == set(features.descriptions) - {"user_id"}


def test_raw_columns_are_those_that_are_read() -> None:
    features = read_feature_sql(HILLSTROM, EXPERIMENTS / "hillstrom")
    assert features.raw_columns == (
        "channel",
        "history",
        "mens",
        "newbie",
        "recency",
        "womens",
        "zip_code",
    )


@pytest.mark.parametrize(
    "sql",
    [
        f"select user_id, recency::float as recency -- not visit\n /* segment, * and random() */ {RAW}",
        f"select user_id, (zip_code = 'visit')::float as v {RAW}",
        f"select user_id, (zip_code = 'random()')::float as v {RAW}",
        f"with r as (select user_id, recency {RAW}) select user_id, recency::float as recency from r",
        f"select h.user_id, h.recency::float as recency {RAW} as h",
        f"select user_id, (avg(recency) over w)::float as m {RAW} window w as (partition by zip_code)",
        f"select user_id, recency::float as visit {RAW}",
    ],
    ids=["comment", "text", "text of a call", "cte", "table alias", "window", "name of a feature"],
)
def test_what_does_no_harm_passes(tmp_path: Path, sql: str) -> None:
    assert read(tmp_path, sql).raw_columns


@pytest.mark.parametrize(
    "column", ["segment", "visit", "conversion", "spend", "VISIT", '"Visit"', "h.visit"]
)
@pytest.mark.parametrize(
    "sql",
    [
        "select user_id, {column}::float as f from raw.hillstrom as h",
        "select user_id, recency::float as f from raw.hillstrom as h where {column} is not null",
        "select user_id, 1::float as f from raw.hillstrom h qualify rank() over (order by {column}) > 0",
        "select user_id, a::float as f from (select user_id, {column} as a from raw.hillstrom as h)",
        "with r as (select 1 as u, {column} as a from raw.hillstrom h) select u, a::float as f from r",
    ],
    ids=["select", "where", "qualify", "subquery", "cte"],
)
def test_the_arm_and_outcomes_are_refused_wherever_they_are_read(
    tmp_path: Path, sql: str, column: str
) -> None:
    name = column.rsplit(".", maxsplit=1)[-1].strip('"')
    with pytest.raises(
        ExperimentError, match=rf"hillstrom: features\.sql reads '{name}', which is the arm"
    ):
        read(tmp_path, sql.format(column=column))


def test_what_is_declared_as_no_feature_is_refused(tmp_path: Path) -> None:
    criteo = load_experiment(EXPERIMENTS / "criteo")
    (tmp_path / FEATURES_SQL).write_text("select user_id, exposure::float as e from raw.criteo")
    with pytest.raises(ExperimentError, match=r"'exposure'.*declared as no feature"):
        read_feature_sql(criteo, tmp_path)


HIDDEN = {
    "star": f"select * {RAW}",
    "table star": f"select h.* {RAW} as h",
    "star but some": f"select * exclude (visit) {RAW}",
    "columns by pattern": f"select user_id, columns('v.*') {RAW}",
    "columns by lambda": f"select user_id, columns(c -> c like 'v%') {RAW}",
    "columns unpacked": f"select user_id, greatest(*columns('v.*'))::float as f {RAW}",
    "from first": RAW,
    "by position": f"select user_id, #11::float as f {RAW}",
    "renamed by alias": f"select user_id, k::float as f {RAW} t(a, b, c, d, e, f, g, h, i, j, k)",
    "renamed by subquery": f"select u, a::float as f from (select user_id, recency {RAW}) t(u, a)",
    "whole row by table": f"select user_id, struct_extract(hillstrom, 'visit')::float as f {RAW}",
    "whole row by alias": f"select user_id, (h['visit'])::float as f {RAW} as h",
    "whole row as JSON": f"select user_id, (to_json(h) ->> 'visit')::float as f {RAW} as h",
    "whole row of a cte": f"with r as (select user_id {RAW}) select user_id, r::varchar as f from r",
    "unpivot": f"select user_id, v::float as f {RAW} unpivot (v for n in (visit))",
}


@pytest.mark.parametrize("sql", HIDDEN.values(), ids=HIDDEN)
def test_columns_that_are_not_named_are_refused(tmp_path: Path, sql: str) -> None:
    with pytest.raises(ExperimentError, match=r"hillstrom: features\.sql"):
        read(tmp_path, sql)


OTHER_TABLES = {
    "join": f"select user_id, x::float as f {RAW} join scores.hillstrom using (user_id)",
    "natural join": f"select user_id, x::float as f {RAW} natural join assignment.hillstrom",
    "subquery": f"select user_id, (select max(fold) from assignment.hillstrom)::float as f {RAW}",
    "other schema": "select user_id, arm::float as f from assignment.hillstrom",
    "no schema": "select user_id, recency::float as f from hillstrom",
    "other experiment": "select user_id, f0::float as f from raw.criteo",
    "behind a cte of its name": (
        f"with hillstrom as (select 1 {RAW}) select user_id, arm::float as f from assignment.hillstrom"
    ),
    "attached database": "select user_id, recency::float as f from other.raw.hillstrom",
    "file": "select user_id, x::float as f from 'users.csv'",
    "table function": "select user_id, x::float as f from read_csv('users.csv')",
    "table by text": "select user_id, x::float as f from query_table('assignment.hillstrom')",
    "query by text": "select user_id, x::float as f from query('from assignment.hillstrom')",
}


@pytest.mark.parametrize("sql", OTHER_TABLES.values(), ids=OTHER_TABLES)
def test_other_tables_are_refused(tmp_path: Path, sql: str) -> None:
    with pytest.raises(ExperimentError, match=r"features come from raw\.hillstrom alone"):
        read(tmp_path, sql)


@pytest.mark.parametrize(
    "call",
    [
        *("random()", "RANDOM()", "random() over ()", "list_sum([random()])", "setseed(0.5)"),
        *("uuid()", "uuidv4()", "uuidv7()", "gen_random_uuid()", "nextval('s')", "txid_current()"),
        *("now()", "today()", "current_date", "current_time", "current_timestamp", "localtimestamp"),
        *("localtime", "get_current_timestamp()", "get_current_time()", "transaction_timestamp()"),
        *("current_localtime()", "current_localtimestamp()", "getvariable('x')"),
    ],
)
def test_what_changes_from_run_to_run_is_refused(tmp_path: Path, call: str) -> None:
    with pytest.raises(ExperimentError, match=r"calls \w+\(\); features must be the same on every run"):
        read(tmp_path, f"select user_id, ({call})::float as f {RAW}")


@pytest.mark.parametrize("sample", ["using sample 10", "tablesample 10%"])
def test_a_sample_is_refused(tmp_path: Path, sample: str) -> None:
    with pytest.raises(ExperimentError, match="same on every run"):
        read(tmp_path, f"select user_id, recency::float as f {RAW} {sample}")


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("", "must be one SELECT"),
        ("select 1 as a; select 2 as b", "must be one SELECT"),
        ("drop table raw.hillstrom", "must be one SELECT"),
        (f"select user_id {RAW} union select user_id {RAW}", "must be one SELECT"),
        ("select from where (", "does not parse"),
        (f"select user_id, recency::float {RAW}", "has no name; add 'as <name>'"),
        (f"select user_id, recency + 1 {RAW}", "has no name"),
        (f"select user_id, recency::float as a, history::float as A {RAW}", "yields 'a' twice"),
        (f"select user_id, recency::float as fold {RAW}", "'fold' is a column of the cells"),
        (f"select user_id, recency::float as N {RAW}", "'n' is a column of the cells"),
        (f"select user_id, recency::float as visit_sum {RAW}", "'visit_sum' is a column of the cells"),
    ],
)
def test_a_file_that_makes_no_table_of_features_is_refused(tmp_path: Path, sql: str, fault: str) -> None:
    with pytest.raises(ExperimentError, match=f"features.sql.*{fault}"):
        read(tmp_path, sql)


def test_descriptions_are_the_comments_beside_the_features(tmp_path: Path) -> None:
    features = read(
        tmp_path,
        f"select user_id, recency::float as a, -- months\nhistory::float as b -- dollars\n{RAW}",
    )
    assert features.descriptions == {"user_id": "", "a": "months", "b": "dollars"}
