"""SQL that looks across users is refused before a cluster reads a file in parts."""

from __future__ import annotations

import pytest

from dagster_project.compute.cluster.row_local_sql import refuse_across_users
from tests.support import EXPERIMENTS
from uplift_core.errors import ExperimentError


@pytest.mark.parametrize("file", sorted(EXPERIMENTS.glob("*/*.sql")), ids=str)
def test_built_in_experiments_work_row_by_row(file):
    refuse_across_users("here", file.read_text())


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("select user_id, x - avg(x) over () as x from raw.e", "AVG(x) OVER ()"),
        (
            "select row_number() over (order by x) as user_id from raw.e",
            "ROW_NUMBER() OVER (ORDER BY x)",
        ),
        ("select user_id, x / (select max(x) from raw.e) as x from raw.e", "MAX(x)"),
        ("select distinct user_id from raw.e", "DISTINCT"),
        ("select user_id from raw.e limit 10", "LIMIT 10"),
        ("select user_id, count(*) as n from raw.e group by user_id", "GROUP BY user_id"),
        ("select user_id from raw.e qualify row_number() over () = 1", "QUALIFY"),
    ],
)
def test_what_looks_across_users_is_refused_by_name(sql, named):
    with pytest.raises(ExperimentError, match="looks across users") as error:
        refuse_across_users("here", sql)
    assert named in str(error.value)
