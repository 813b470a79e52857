"""Declarations: what is valid loads, what is not is refused with key, value and remedy."""

from __future__ import annotations

import copy
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support import EXPERIMENTS
from uplift_core.errors import ExperimentError
from uplift_core.experiment.declaration import DECLARATION, Experiment, discover, load_experiment

HILLSTROM = tomllib.loads((EXPERIMENTS / "hillstrom" / DECLARATION).read_text(encoding="utf-8"))


def declare(**changes: Any) -> dict[str, Any]:
    """Hillstrom's declaration with dotted keys set; ``__`` is a dot, digits index lists."""
    declared = copy.deepcopy(HILLSTROM)
    for key, value in changes.items():
        *path, last = key.split("__")
        place: Any = declared
        for part in path:
            place = place[int(part)] if part.isdigit() else place[part]
        place[int(last) if last.isdigit() else last] = value
    return declared


def write(folder: Path, text: str) -> Path:
    """An experiment's folder with this declaration and empty SQL."""
    folder.mkdir(parents=True)
    (folder / DECLARATION).write_text(text, encoding="utf-8")
    for name in ("raw.sql", "features.sql"):
        (folder / name).touch()
    return folder


def toml_with(tmp_path: Path, old: str, new: str) -> Path:
    """Hillstrom's folder with one piece of its TOML replaced."""
    text = (EXPERIMENTS / "hillstrom" / DECLARATION).read_text(encoding="utf-8")
    assert text.count(old) >= 1
    return write(tmp_path / "hillstrom", text.replace(old, new, 1))


@pytest.mark.parametrize("name", ["criteo", "hillstrom", "simulated"])
def test_built_in_declarations_load(name: str) -> None:
    experiment = load_experiment(EXPERIMENTS / name)
    assert experiment.name == name
    assert experiment.control not in experiment.treatments
    assert len(experiment.treatments) == len(experiment.arms) - 1


def test_a_share_may_be_a_fraction_and_is_then_exact() -> None:
    experiment = load_experiment(EXPERIMENTS / "hillstrom")
    assert [arm.share for arm in experiment.arms] == [1 / 3] * 3
    assert experiment.contrast("mens").propensity == 0.5


def test_propensity_is_within_the_contrasts_two_arms() -> None:
    assert load_experiment(EXPERIMENTS / "criteo").contrast("treated").propensity == pytest.approx(0.85)
    uneven = Experiment.model_validate(
        declare(arms__0__share=0.2, arms__1__share=0.6, arms__2__share=0.2)
    )
    assert uneven.contrast("womens").propensity == pytest.approx(0.75)
    assert uneven.contrast("mens").propensity == pytest.approx(0.5)


def test_no_feature_may_read_the_arm_an_outcome_or_what_came_after() -> None:
    forbidden = load_experiment(EXPERIMENTS / "criteo").forbidden_columns
    assert forbidden == {"treatment", "visit", "conversion", "exposure"}
    renamed = Experiment.model_validate(declare(outcomes__0__column="visited_14d"))
    assert "visited_14d" in renamed.forbidden_columns
    assert renamed.outcome("visit").column == "visited_14d"


@pytest.mark.parametrize("method", ["contrast", "outcome"])
def test_asking_for_what_is_not_declared_names_the_choices(method: str) -> None:
    experiment = load_experiment(EXPERIMENTS / "hillstrom")
    choice = {"contrast": "womens", "outcome": "spend"}[method]
    with pytest.raises(ExperimentError, match=f"hillstrom.*'nobody'.*choose one of .*{choice}"):
        getattr(experiment, method)("nobody")
    with pytest.raises(ExperimentError, match="'none' is no treatment arm"):
        experiment.contrast("none")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arms__0__share": 0.5}, ["shares", "1.166667", "must be 1"]),
        ({"arms__1__name": "none"}, ["arms", "repeat a name"]),
        ({"arms__1__value": "No E-Mail"}, ["two arms share one value"]),
        ({"outcomes__1__name": "visit"}, ["outcomes", "repeat a name"]),
        ({"outcomes__1__name": "arm"}, ["outcomes", "arm", "rename"]),
        ({"control": "nobody"}, ["control 'nobody'", "none of the arms"]),
        ({"defaults__arm": "none"}, ["defaults.arm 'none'", "other than the control"]),
        ({"defaults__arm": "kids"}, ["defaults.arm 'kids'"]),
        ({"defaults__outcome": "revenue"}, ["defaults.outcome 'revenue'", "spend"]),
        ({"outcomes": []}, ["at least one outcome"]),
        ({"arms": HILLSTROM["arms"][:1]}, ["at least one other arm"]),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Experiment.model_validate(declare(**changes))
    assert all(word in str(caught.value) for word in words)


def test_arm_values_that_only_differ_in_type_are_one_value() -> None:
    # The raw column is compared as text, so 0 and "0" would be one arm.
    declared = declare(arms__0__value=0, arms__1__value="0")
    with pytest.raises(ValidationError, match="two arms share one value"):
        Experiment.model_validate(declared)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'title = "',
            'tittle = "',
            ["unknown key 'tittle'", "write 'title'", "key 'title' is missing; add it"],
        ),
        ("holdout = 0.3", "hold_out = 0.3", ["unknown key 'split.hold_out'"]),
        ("holdout = 0.3", "holdout = 1.5", ["key 'split.holdout' = 1.5", "less than 1"]),
        ("folds = 5", "folds = 1", ["key 'split.folds' = 1", "must be 3 or more"]),
        ('salt = "hillstrom-1"', "", ["key 'split.salt' is missing"]),
        ('kind = "binary"', 'kind = "clicks"', ["outcomes.0.kind", "'clicks'", "binary"]),
        (
            'name = "womens"',
            'name = "Womens E-Mail"',
            ["arms.1.name", "Womens E-Mail", "lower-case letters"],
        ),
        ('share = "1/3"', 'share = "a third"', ["arms.0.share", "'a third'"]),
        ('share = "1/3"', 'share = "1/0"', ["arms.0.share", "'1/0'", "denominator"]),
        ('share = "1/3"', "share = nan", ["arms.0.share", "nan"]),
        ("budget = 0.30", "budget = 30", ["defaults.budget", "30", "less than 1"]),
        ('kind = "file"', 'kind = "ftp"', ["source", "ftp", "own_file"]),
        ('sha256 = "0e58', 'sha256 = "XYZ', ["source.sha256", "XYZ", "must match"]),
        ("size = 3964977", "size = 0", ["source.size", "more than 0"]),
        ("[defaults]", '[defaults]\nlearner = "z"', ["defaults.learner", "'z'", "'dr'"]),
        ("[defaults]", "[learners]\nseed = -1\n[defaults]", ["learners.seed", "-1"]),
        (
            'name = "hillstrom"',
            'name = "hillstorm"',
            ["name = 'hillstorm'", "must equal the folder's name"],
        ),
        ('control = "none"', "control = none", ["hillstrom: experiment.toml is no valid TOML", "line"]),
    ],
)
def test_a_wrong_file_is_refused_by_key_and_value(
    tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    folder = toml_with(tmp_path, old, new)
    with pytest.raises(ExperimentError) as caught:
        load_experiment(folder)
    message = str(caught.value)
    assert "hillstrom" in message
    assert [word for word in words if word not in message] == []


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    folder = toml_with(tmp_path, "holdout = 0.3\nfolds = 5", "holdout = 3\nfolds = 0")
    with pytest.raises(ExperimentError, match=r"split\.holdout.*split\.folds"):
        load_experiment(folder)


@pytest.mark.parametrize("lost", ["raw.sql", "features.sql", DECLARATION])
def test_an_incomplete_folder_names_what_it_lacks(tmp_path: Path, lost: str) -> None:
    folder = tmp_path / "hillstrom"
    shutil.copytree(EXPERIMENTS / "hillstrom", folder)
    (folder / lost).unlink()
    with pytest.raises(ExperimentError, match=f"hillstrom: .*lacks {lost}"):
        load_experiment(folder)


def test_discover_finds_every_folder_sorted() -> None:
    assert list(discover(EXPERIMENTS)) == ["criteo", "hillstrom", "simulated"]


def test_discover_refuses_one_name_in_two_roots(tmp_path: Path) -> None:
    shutil.copytree(EXPERIMENTS / "hillstrom", tmp_path / "hillstrom")
    with pytest.raises(ExperimentError, match="hillstrom: declared twice"):
        discover(EXPERIMENTS, tmp_path)


def test_the_unit_of_decisions_is_the_declared_cluster_unless_the_rules_say_otherwise() -> None:
    declared = declare(cluster="zip_code")
    assert Experiment.model_validate(declare()).decision_unit == "user"
    assert Experiment.model_validate(declared).decision_unit == "cluster"
    by_user = Experiment.model_validate({**declared, "decisions": {"unit": "user", "cut": "threshold"}})
    assert by_user.decision_unit == "user"
    with pytest.raises(ValidationError, match="would tear clusters apart; set cut = 'size', or unit"):
        Experiment.model_validate({**declared, "decisions": {"cut": "threshold"}})


NORTH = {"values": ["north"], "shares": {"control": 0.9, "treated": 0.1}}
REGION = {"strata": ["region"], "stratum": [NORTH]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"strata": ["region"]}, r"needs the arms' shares of each stratum: add a \[\[stratum\]\]"),
        ({"stratum": [NORTH]}, r"need strata = \[<columns>\]"),
        ({"strata_shares": "counted"}, r"need strata = \[<columns>\]"),
        (REGION | {"strata_shares": "counted"}, "counts the shares; remove"),
        (REGION | {"strata": ["region", "wave"]}, "one for each of the columns"),
        (REGION | {"strata": ["region", "region"]}, "repeat a column"),
        (REGION | {"stratum": [NORTH, NORTH]}, "declared twice"),
        (REGION | {"stratum": [NORTH | {"shares": {"treated": 0.1}}]}, "name each arm"),
        (
            REGION | {"stratum": [NORTH | {"shares": {"control": 0.8, "treated": 0.1}}]},
            "add up to 0.9",
        ),
        (REGION | {"propensity_column": "p"}, "both say the users' chances"),
        ({"propensity_column": "treated"}, "'treated' is the column of the id, the arm or an outcome"),
    ],
)
def test_wrong_strata_are_refused_with_the_remedy(changes: dict[str, object], says: str) -> None:
    declared = load_experiment(EXPERIMENTS / "simulated").model_dump(mode="json")
    with pytest.raises(ValidationError, match=says):
        Experiment.model_validate({**declared, **changes})


def test_strata_and_a_column_of_chances_work_for_one_treatment() -> None:
    declared = load_experiment(EXPERIMENTS / "simulated").model_dump(mode="json")
    assert "strata" not in declared
    assert not Experiment.model_validate(declared).propensity_varies
    for changes in (REGION, {"propensity_column": "p"}, {"strata": ["r"], "strata_shares": "counted"}):
        found = Experiment.model_validate({**declared, **changes})
        assert found.propensity_varies
        assert Experiment.model_validate(found.model_dump(mode="json")) == found
    several = load_experiment(EXPERIMENTS / "hillstrom").model_dump(mode="json")
    with pytest.raises(ValidationError, match="leave out all treatments but one"):
        Experiment.model_validate({**several, "propensity_column": "p"})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exposure": "segment"}, "exposure = 'segment' is declared as something else already"),
        ({"exposure": "visit"}, "exposure = 'visit' is declared as something else already"),
        ({"decisions": {"cost_per": "exposed"}}, "needs exposure = '<column>'"),
        (
            {"exposure": "opened", "decisions": {"cost_per": "exposed"}},
            "cost_per = 'exposed' works for one treatment, and this experiment has",
        ),
        (
            {"exposure": "opened", "decisions": {"cost_per": "exposed", "cost_column": "price"}},
            "decisions.cost_column = 'price' replaces it; remove one",
        ),
        ({"exposure": "opened", "outcomes__0__name": "exposure"}, "reserved beside exposure; rename"),
        ({"weight": "visit"}, "weight = 'visit' is declared as something else already"),
        ({"weight": "s", "outcomes__0__name": "weight"}, "reserved beside weight; rename the outcome"),
        ({"weight": "s"}, "weight works for one treatment, and this experiment has"),
    ],
)
def test_wrong_exposures_and_weights_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Experiment.model_validate(declare(**changes))


@pytest.mark.parametrize("unit", ["cluster", "weight"])
def test_bags_do_not_go_with_clusters_and_weights(unit: str) -> None:
    declared = declare(learners={"bags": 5}, defaults__arm="mens", **{unit: "household"})
    declared["arms"] = [arm | {"share": 0.5} for arm in declared["arms"] if arm["name"] != "womens"]
    with pytest.raises(ValidationError, match=f"bags = 5 draws single users.*leave out bags, or {unit}"):
        Experiment.model_validate(declared)


def test_weights_and_chances_that_differ_do_not_go_together() -> None:
    declared = declare(weight="s", propensity_column="p", defaults__arm="mens")
    declared["arms"] = [arm | {"share": 0.5} for arm in declared["arms"] if arm["name"] != "womens"]
    with pytest.raises(ValidationError, match="weight = 's' does not go with strata or propensity"):
        Experiment.model_validate(declared)
    del declared["propensity_column"]
    assert Experiment.model_validate(declared).errors_by_unit


def test_costs_that_fall_on_exposure_are_expected_costs() -> None:
    declared = declare(exposure="opened", decisions={"cost_per": "exposed"}, defaults__arm="mens")
    declared["arms"] = [
        arm | {"share": 0.5, "cost": 0.5} for arm in declared["arms"] if arm["name"] != "womens"
    ]
    experiment = Experiment.model_validate(declared)
    name = experiment.arms[1].name
    assert experiment.with_expected_costs({name: 0.25}).arm(name).cost == 0.125
    assert "opened" in experiment.forbidden_columns
    plain = Experiment.model_validate(declare())
    assert plain.with_expected_costs({name: 0.25}) is plain
    assert {"exposure", "cost_per"}.isdisjoint({**plain.model_dump(), **plain.decisions.model_dump()})
