"""Experiments of one's own, run once for all tests that look at them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from dagster_project import run
from dagster_project.onboarding import new_experiment
from tests.e2e.own_experiments import add_history, offers, rare, timed
from tests.support import made_once, share_proof


@pytest.fixture(scope="session")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UPLIFT_HOME after the three experiments were declared and run."""
    return made_once(tmp_path_factory, "own", declare_and_run)


def declare_and_run(home: Path) -> None:
    """Declare the three experiments beside the home, and run them."""
    place = home.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(place))
        patch.setenv("UPLIFT_HOME", str(home))
        patch.setenv("UPLIFT_EXPERIMENTS", str(place / "experiments"))
        patch.setenv("UPLIFT_THREADS", "1")
        pc.write_csv(offers()[0], place / "offers.csv")
        pq.write_table(rare()[0], place / "rare.parquet")
        users, history, _ = timed()
        pc.write_csv(users, place / "users.csv")
        declare = new_experiment.main
        assert declare([str(place / "offers.csv"), "offers"]) == 0
        assert declare([str(place / "rare.parquet"), "rare"]) == 0
        assert declare([str(place / "users.csv"), "timed"]) == 0
        pq.write_table(history, place / "experiments" / "timed" / "past.parquet")
        add_history(place / "experiments" / "timed")
        for declaration in (place / "experiments").glob("*/experiment.toml"):  # each fold costs a fit
            text = declaration.read_text(encoding="utf-8")
            declaration.write_text(text.replace("folds = 5", "folds = 3"), encoding="utf-8")
        share_proof(home)
        assert run.main(["offers", "rare", "timed"]) == 0
