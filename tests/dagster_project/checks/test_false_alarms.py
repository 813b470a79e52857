"""No check fires on good data; `bench.false_alarms` tests the same on twenty experiments."""

from __future__ import annotations

import pytest

from bench.false_alarms import Answer, answers
from dagster_project.checks.dagster_checks import CHECKS
from tests.support import small_simulation

SEEDS = (1, 2)  # the features of the second are compared with those of the first


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    root = tmp_path_factory.mktemp("alarms")
    few = {"config": {"models": {"rounds": 20}}}
    return [answer for seed in SEEDS for answer in answers(root, small_simulation(), seed, **few)]


def test_fair_experiments_raise_no_alarm(answered: list[Answer]) -> None:
    assert [answer for answer in answered if not answer.passed] == []


def test_every_check_was_asked(answered: list[Answer]) -> None:
    """All checks run, except those of dates, published figures, population and arms: there are none."""
    checked = {(answer.table, answer.check) for answer in answered if answer.seed == SEEDS[1]}
    checks = {(layer, check) for layer, checks in CHECKS.items() for check in checks}
    names = (
        "sample_ratio",
        "list_change",
        "realised_rate",
        "threshold_rate",
        "evidence",
        "treating_nobody",
    )
    gates = {("gates", name) for name in names}
    undeclared = {("raw", check) for check in ("maturity", "published", "columns")}
    undeclared |= {
        (layer, check) for layer in ("population", "multi_arm_list") for check in CHECKS[layer]
    }
    assert checked == checks - undeclared | gates
