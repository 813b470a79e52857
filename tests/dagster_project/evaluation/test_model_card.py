"""The model card and its plots, from the small simulated home."""

from __future__ import annotations

import json

import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation import pictures
from dagster_project.evaluation.model_card import write_card
from dagster_project.evaluation.stored_plots import make_plots, read_plots
from dagster_project.training.registry import deciding_learner
from tests.support import opened
from uplift_core.artifacts.home import Home
from uplift_core.evaluation.tables import NAMES

PLOTS = ["qini", "deciles", "policy_value", "calibration", "distribution"]


@pytest.fixture
def made(home: Home, simulated: BatchExperiment):
    with opened(home) as db:
        learner = deciding_learner(db, simulated, "treated")
        return learner, make_plots(db, simulated), write_card(db, simulated, {})


def test_every_plot_says_its_finding_and_how_to_read_it(made) -> None:
    learner, drawn, _ = made
    assert [p.plot for p in drawn] == PLOTS
    for plot in drawn:
        spec = json.loads(plot.specification)
        assert NAMES[learner] in plot.title
        assert any(character.isdigit() for character in plot.title)
        assert len(" ".join(spec["title"]["subtitle"])) > 40


def test_every_plot_can_be_drawn_without_the_network(made) -> None:
    for plot in made[1]:
        assert "url" not in json.loads(plot.specification).get("data", {})
        assert pictures.svg(plot.specification).startswith("<svg")
        assert pictures.png_markdown(plot.specification, "t").startswith("![t](data:image/png;base64,")


def test_plots_and_card_are_what_was_written(home: Home, simulated: BatchExperiment, made) -> None:
    with opened(home) as db:
        stored = read_plots(db, simulated)
        ((version, card),) = db.rows("select model_version, card from models.cards")
    assert stored == made[1]
    folder = home.cards / version
    assert (folder / "card.md").read_text(encoding="utf-8") == card
    for plot in PLOTS:
        assert f"(treated-{plot}.svg)" in card
        assert (folder / f"treated-{plot}.svg").is_file()


def test_the_card_holds_decision_evidence_and_report(home: Home, made) -> None:
    learner, _, card = made
    assert f"**{NAMES[learner]} decides** (the champion)" in card
    for part in (
        "The gate: **",
        "champion",
        "runner-up",
        "out of fold",
        "On held-out users, ± one standard error:",
        "sha256",
    ):
        assert part in card
    with opened(home) as db:
        ((word, reason, gain),) = db.rows(
            "select gate, gate_reason, gain_over_random from models.registry where champion"
        )
    assert word in {"passed", "inconclusive"}
    assert reason in card
    assert f"{gain:+.5f}" in card


def test_evidence_is_the_trains_and_the_report_the_holdouts(home: Home) -> None:
    with opened(home) as db:
        ((train,),) = db.rows("select distinct n from models.registry")
        ((held_out,),) = db.rows("select distinct n from evaluation.metrics")
        counts = dict(db.rows("select split, count(*) from assignment.simulated group by all"))
    assert (train, held_out) == (counts["train"], counts["holdout"])
