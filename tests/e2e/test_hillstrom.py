"""The whole graph on the real Hillstrom file."""

import hashlib
import shutil
from pathlib import Path

import pytest

from tests.support import failure_text, folder_of, run_job
from uplift_core.learner_names import LEARNER_NAMES, SINGLE_LEARNERS


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.fixture
def rows(snapshot, hillstrom_home):
    con = snapshot(hillstrom_home)
    return lambda sql: con.execute(sql).fetchall()


def test_every_row_of_the_file_is_a_user(rows):
    assert rows("select count(*), count(distinct user_id) from raw.hillstrom") == [(64_000, 64_000)]
    rates = dict(rows("select arm, round(avg(visit), 6) from assignment.hillstrom group by arm"))
    # As in the official file: 21,387, 21,307 and 21,306 customers.
    assert rates == pytest.approx({"womens": 0.151400, "mens": 0.182757, "none": 0.106167}, abs=1e-6)


def test_every_user_is_scored_for_every_arm(rows):
    assert rows("select count(*) from scores.hillstrom") == [(128_000,)]
    assert rows(
        "select arm, count(distinct user_id) from scores.hillstrom group by arm order by arm"
    ) == [
        ("mens", 64_000),
        ("womens", 64_000),
    ]


def test_the_list_is_of_exact_size_and_best_first(rows):
    treated = "treated"
    assert rows(
        f"select arm, count(*) filter ({treated}), count(*) from decisions.treat_list group by 1"
    ) == [("womens", 19_200, 64_000)]
    ((worst_in, best_out),) = rows(
        "select min(score) filter (decision = 'treat'), max(score) filter (decision = 'no_treat') "
        "from decisions.treat_list"
    )
    assert worst_in >= best_out


def test_deciles_add_up_to_the_holdout(rows):
    held_out = dict(
        rows(
            "select contrast.arm, count(*) from (values ('womens'), ('mens')) as contrast(arm) "
            "join assignment.hillstrom as a on a.split = 'holdout' "
            "and a.arm in ('none', contrast.arm) group by 1"
        )
    )
    sums = "select arm, outcome, learner, sum(n) from evaluation.deciles group by all"
    figures = rows(sums)
    assert len(figures) == 2 * 3 * (len(LEARNER_NAMES) + 1)
    for arm, outcome, learner, n in figures:
        assert n == pytest.approx(held_out[arm], abs=1e-6), (outcome, learner)
    ((share,),) = rows("select avg((split = 'holdout')::int) from assignment.hillstrom")
    assert share == pytest.approx(0.3, abs=0.01)


def test_acting_on_the_womens_scores_beats_random(rows):
    ((gain, error),) = rows(
        "select gain_over_random, gain_std_error from evaluation.policy_value where arm = 'womens' "
        "and outcome = 'visit' and learner = 'r' and estimator = 'aipw' and budget = 0.3"
    )
    assert gain - 1.96 * error > 0


def test_an_edited_byte_stops_the_run_and_leaves_what_was_published(
    hillstrom_home, hillstrom_file, tmp_path
):
    home, data = tmp_path / "home", tmp_path / "data"
    shutil.copytree(hillstrom_home, home)
    data.mkdir()
    content = bytearray(hillstrom_file.read_bytes())
    content[-10] ^= 1
    (data / hillstrom_file.name).write_bytes(content)
    before = digests(home / "published")
    result = run_job(folder_of("hillstrom"), home, data_dir=data, raise_on_error=False)
    assert not result.success
    assert "is not the declared file" in failure_text(result)
    assert digests(home / "published") == before


def test_econml_agrees(rows):
    """Tier 1: equal folds and models. Tier 2: econml's own folds, beside the noise of our own."""
    figures = rows(
        "select learner, tier, metric, value from evaluation.crosscheck where experiment = 'hillstrom'"
    )
    values = {(learner, tier, metric): value for learner, tier, metric, value in figures}
    for learner in SINGLE_LEARNERS:
        assert values[learner, 1, "max_abs_difference"] <= 1e-5, learner
    for learner in ("r", "dr"):
        assert values[learner, 2, "spearman"] >= 0.97, learner
        floor = values[learner, 2, "spearman_own_folds"]
        assert values[learner, 2, "spearman"] >= floor - 0.02, learner
