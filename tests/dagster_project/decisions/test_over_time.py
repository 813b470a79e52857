"""What a campaign realised over its nights, from the kept outcomes of measured lists."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from dagster_project.decisions.over_time import measure_over_time
from dagster_project.decisions.realised import measure
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from tests.dagster_project.decisions.test_realised import date_of, listed, write
from tests.support import dicts, opened, with_experiment
from uplift_core.artifacts.home import Home

USERS = 400
DATES = ("2026-01-01", "2026-01-02", "2026-01-03")
IN_ORDER = "from decisions.realised_over_time order by decision_date, comparison"
Nights = dict[str, dict[str, np.ndarray]]


def campaign(seed: int = 1) -> Nights:
    """Three nights: 40 users are held out, 20 explore, and the score chooses others each night."""
    rng = np.random.default_rng(seed)
    part = np.array(["holdout"] * 40 + ["explore"] * 20 + ["treat"] * (USERS - 60))
    lasting = rng.normal(size=USERS)
    nights = {}
    for date in DATES:
        selected = rng.random(USERS) < 0.5
        treated = (part == "explore") | (selected & (part == "treat"))
        y = lasting + 0.3 * treated + rng.normal(size=USERS)
        expected = lasting + 0.5 * rng.normal(size=USERS)
        nights[date] = {"part": part, "selected": selected, "y": y, "expected": expected}
    return nights


def keep(db: Warehouse, nights: Nights, *, expected: bool = True) -> None:
    for date, night in nights.items():
        compared = (night["part"] != "treat") | night["selected"]
        columns = {name: pa.array(values[compared]) for name, values in night.items()}
        if not expected:
            columns["expected"] = pa.nulls(int(compared.sum()), pa.float64())
        users = {"user_id": pa.array(np.arange(USERS)[compared])}
        with db.relation("kept", pa.table(columns | users)):
            db.rows(
                "insert into decisions.measured by name select *, $date::date as decision_date, "
                "'simulated' as experiment, 'c' as campaign, 'converted' as outcome from kept",
                {"date": date},
            )


def until(db: Warehouse, date: str) -> dict[str, dict[str, object]]:
    rows = dicts(
        db, "from decisions.realised_over_time where decision_date = $date::date", {"date": date}
    )
    return {str(row["comparison"]): row for row in rows}


def sides(night: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    part, selected = night["part"], night["selected"]
    held_out = part == "holdout"
    return {
        "list": ((part == "treat") & selected, held_out & selected),
        "explore": (part == "explore", held_out),
    }


def influences(nights: Nights, comparison: str, column: str) -> tuple[float, np.ndarray, int]:
    """Added outcomes, each user's influence on them, and treatments: by plain numpy."""
    added, influence, treatments = 0.0, np.zeros(USERS), 0
    for night in nights.values():
        values = night[column]
        weight = int(sides(night)["list" if comparison == "choosing" else comparison][0].sum())
        both = sides(night)
        signed = (
            [(*both["list"], 1), (*both["explore"], -1)]
            if comparison == "choosing"
            else [(*both[comparison], 1)]
        )
        for treated, control, sign in signed:
            added += sign * weight * (values[treated].mean() - values[control].mean())
            for side, way in ((treated, sign), (control, -sign)):
                n = side.sum()
                off = np.where(side, values - values[side].mean(), 0.0)
                influence += way * weight * off / np.sqrt(n * (n - 1))
        treatments += weight
    return added, influence, treatments


@pytest.mark.parametrize("comparison", ["list", "explore", "choosing"])
def test_users_count_once_and_expected_outcomes_narrow_the_interval(
    db: Warehouse, simulated: BatchExperiment, comparison: str
) -> None:
    nights = campaign()
    keep(db, nights)
    assert measure_over_time(db, simulated, DATES[0]) == 9
    row = until(db, DATES[-1])[comparison]
    added, of_y, treatments = influences(nights, comparison, "y")
    added_expected, of_expected, _ = influences(nights, comparison, "expected")
    slope = of_y @ of_expected / (of_expected @ of_expected)
    assert (row["nights"], row["treatments"]) == (3, treatments)
    assert row["unadjusted"] == pytest.approx(added / treatments)
    assert row["unadjusted_std_error"] == pytest.approx(np.linalg.norm(of_y) / treatments)
    assert row["coefficient"] == pytest.approx(slope)
    assert row["uplift"] == pytest.approx((added - slope * added_expected) / treatments)
    error = np.linalg.norm(of_y - slope * of_expected) / treatments
    assert row["std_error"] == pytest.approx(error)
    assert row["std_error"] < 0.8 * row["unadjusted_std_error"]
    assert row["sequence_low"] < row["ci_low"] < row["ci_high"] < row["sequence_high"]
    treated = np.any([sides(n)["explore" if comparison == "explore" else "list"][0]
                      for n in nights.values()], axis=0)  # fmt: skip
    assert row["n_treated"] == treated.sum()


def test_a_night_that_is_measured_later_changes_what_follows_it_and_nothing_before(
    db: Warehouse, simulated: BatchExperiment
) -> None:
    nights = campaign()
    keep(db, {date: nights[date] for date in (DATES[2], DATES[0])})
    measure_over_time(db, simulated, DATES[0])
    first = until(db, DATES[0])
    keep(db, {DATES[1]: nights[DATES[1]]})
    measure_over_time(db, simulated, DATES[1])
    assert until(db, DATES[0]) == first  # not computed again
    late = dicts(db, IN_ORDER)
    measure_over_time(db, simulated, DATES[0])
    assert [row["uplift"] for row in dicts(db, IN_ORDER)] == pytest.approx([r["uplift"] for r in late])
    assert [row["nights"] for row in late if row["comparison"] == "list"] == [1, 2, 3]


def test_without_predictions_nothing_is_adjusted(db: Warehouse, simulated: BatchExperiment) -> None:
    keep(db, campaign(), expected=False)
    measure_over_time(db, simulated, DATES[0])
    for row in until(db, DATES[-1]).values():
        assert (row["uplift"], row["std_error"]) == (row["unadjusted"], row["unadjusted_std_error"])


def test_of_clusters_the_influences_are_added_up(db: Warehouse, simulated: BatchExperiment) -> None:
    nights = {DATES[0]: campaign()[DATES[0]]}
    keep(db, nights, expected=False)
    db.rows(
        "create table raw.simulated as select user_id, user_id // 10 as school "
        f"from range({USERS}) as users (user_id)"
    )
    measure_over_time(db, with_experiment(simulated, cluster="school"), DATES[0])
    row = until(db, DATES[0])["explore"]
    treated, control = sides(nights[DATES[0]])["explore"]
    y, school = nights[DATES[0]]["y"], np.arange(USERS) // 10
    influence = np.where(treated, (y - y[treated].mean()) / treated.sum(), 0.0)
    influence -= np.where(control, (y - y[control].mean()) / control.sum(), 0.0)
    sums = np.array([influence[school == s].sum() for s in range(6)])
    assert row["clusters"] == 6
    assert row["std_error"] == pytest.approx(np.sqrt(6 / 5 * (sums @ sums)))


def test_of_one_night_it_is_what_that_night_realised_narrower_by_the_models(
    home: Home, simulated: BatchExperiment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On a real run: outcomes that follow each user's true chance, which models know in part."""
    rows = listed(home)
    folder = tmp_path_factory.mktemp("outcomes")
    with opened(home) as db:
        chances = db.arrow("select p0 from raw.simulated order by user_id").column("p0").to_numpy()
        y = (np.random.default_rng(1).random(len(chances)) < chances).astype(int)
        file = write(folder / "outcomes.parquet", {"user_id": rows["user_id"], "converted": y})
        measure(db, simulated, decision_date=date_of(rows), file=file, absent_is_zero=False)
        by_night = {r["comparison"]: r for r in dicts(db, "from decisions.realised")}
        over_time = until(db, date_of(rows))
    assert over_time.keys() == {"list", "explore", "choosing"}
    for comparison, night in by_night.items():
        cumulative = over_time[comparison]
        assert cumulative["unadjusted"] == pytest.approx(night["uplift"])
        assert cumulative["unadjusted_std_error"] == pytest.approx(night["std_error"])
        assert cumulative["promised"] == pytest.approx(night["promised"])
        assert cumulative["std_error"] <= night["std_error"] * (1 + 1e-12)
    assert 0.5 < over_time["list"]["coefficient"] < 1.5  # the models know these chances
    assert over_time["list"]["std_error"] < 0.98 * by_night["list"]["std_error"]
    assert over_time["choosing"]["promised"] is None


def test_intervals_hold_the_truth_as_often_as_they_say_although_users_return(
    db: Warehouse, simulated: BatchExperiment
) -> None:
    """60 campaigns of three nights whose true effect is .3 each night."""
    inside = []
    for seed in range(60):
        db.rows("delete from decisions.measured")
        keep(db, campaign(seed))
        measure_over_time(db, simulated, DATES[0])
        row = until(db, DATES[-1])["list"]
        inside.append(row["ci_low"] <= 0.3 <= row["ci_high"])
    assert 0.95 - 4 * np.sqrt(0.95 * 0.05 / 60) <= np.mean(inside)
