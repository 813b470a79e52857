"""The simulated experiment, drawn anew: the chance of the treatment differs by region, or by user."""

from __future__ import annotations

import shutil
from pathlib import Path

from dagster_project.declared.experiment import BatchExperiment
from tests.support import EXPERIMENTS, few_rounds, folder_of, with_experiment
from uplift_core.experiment.strata import Stratum

USERS = 3_000
REGIONS = {"north": 0.1, "east": 0.3, "south": 0.6, "west": 0.8}
MEAN = sum(REGIONS.values()) / len(REGIONS)
# Regions differ in the outcome, too: a difference that ignores the chances is far off.
RAW = """
with drawn as (
    select
        *,
        ['north', 'east', 'south', 'west'][1 + (md5_number_lower('r' || user_id) % 4)::int] as region,
        {chance} as p
    from (select *, row_number() over () as user_id from read_parquet($source))
)
select
    user_id,
    columns('x[0-9]+'),
    region,
    user_id as household,
    p,
    (md5_number_lower('w' || user_id) / 18446744073709551616.0 < p)::integer as treated,
    (
        md5_number_lower('y' || user_id) / 18446744073709551616.0
        < 0.4 * (case when treated = 1 then p1 else p0 end) + 0.6 * p
    )::integer as converted,
    p0,
    p1,
    0.4 * (p1 - p0) as true_cate
from (select * exclude (treated, converted) from drawn)
"""
BY_REGION = "case region when 'north' then 0.1 when 'east' then 0.3 when 'south' then 0.6 else 0.8 end"
BY_USER = "0.1 + 0.8 * (md5_number_lower('p' || user_id) / 18446744073709551616.0)"


def stratum(region: str, treated: float) -> Stratum:
    """A stratum of one column."""
    return Stratum(values=(region,), shares={"treated": treated, "control": 1 - treated})


STRATA = {
    "strata": ("region",),
    "stratum": tuple(stratum(region, treated) for region, treated in REGIONS.items()),
}
COLUMN = {"propensity_column": "p"}


def drawn_anew(
    folder: Path, chance: str = BY_REGION, users: int = USERS, **declared: object
) -> BatchExperiment:
    """The experiment in ``folder``, with keys of its declaration."""
    home = folder / "simulated"
    if not home.exists():
        shutil.copytree(EXPERIMENTS / "simulated", home)
    (home / "raw.sql").write_text(RAW.format(chance=chance), encoding="utf-8")
    plain = few_rounds(folder_of("simulated", n_users=users))
    mean = MEAN if chance == BY_REGION else 0.5
    share = {"treated": mean, "control": 1 - mean}
    arms = tuple(arm.model_copy(update={"share": share[arm.name]}) for arm in plain.declaration.arms)
    changed = with_experiment(plain, **{"arms": arms, **declared})
    return BatchExperiment.read(changed.declaration, home)
