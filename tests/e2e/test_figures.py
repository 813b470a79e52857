"""Figures in README and docs/learners.md are those of the run, to the last digit that is given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dagster_project.main_job import read_summary
from dagster_project.settings import REPOSITORY
from tests.support import Open, folder_of
from uplift_core.artifacts.home import Home

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
LEARNERS = (REPOSITORY / "docs" / "learners.md").read_text(encoding="utf-8")
HILLSTROM = folder_of("hillstrom")
NUMBER = r"[+-]?\d+\.\d+"
LAST_DIGIT = 1.01e-4


def figures(text: str) -> list[float]:
    return [float(number) for number in re.findall(NUMBER, text)]


def test_the_table_of_learners_is_the_runs(hillstrom_home: Path) -> None:
    (table,) = re.findall(r"^    hillstrom: .*?\n\n", README, re.MULTILINE | re.DOTALL)
    title, _, *lines = table.strip().splitlines()
    summary = read_summary(Home(hillstrom_home), HILLSTROM)
    assert title == summary.title
    rows = [line.strip().partition("  ") for line in lines]
    assert [name for name, _, _ in rows] == [row[0] for row in summary.rows]
    for (name, _, shown), row in zip(rows, summary.rows, strict=True):
        assert figures(shown) == pytest.approx(figures(" ".join(row[1:])), abs=LAST_DIGIT), name


def test_the_sentence_about_the_table_is_the_tables(hillstrom_home: Path) -> None:
    words = (
        r"Mailing the 30 % that .*? gives (\d\.\d+) visits per customer; a random 30 % gives (\d\.\d+)"
    )
    ((by_learner, by_chance),) = re.findall(words, " ".join(README.split()))
    summary = read_summary(Home(hillstrom_home), HILLSTROM)
    (decides,) = [row for row in summary.rows if row[0].endswith(" *")]
    assert figures(decides[1])[0] == pytest.approx(float(by_learner), abs=5.1e-4)
    assert figures(decides[2])[0] == pytest.approx(float(by_chance), abs=5.1e-4)


def test_what_choosing_among_arms_adds_is_the_runs(hillstrom_home: Path, snapshot: Open) -> None:
    start = LEARNERS.index("Which of Hillstrom's two e-mails")
    sentence = " ".join(LEARNERS[start:].partition("\n\n")[0].split())
    said = sentence.partition("choosing adds")[0]
    budgets = [int(part) / 100 for part in re.findall(r"\d+(?=,| and| %)", said)]
    shown = re.findall(rf"({NUMBER}) ± ({NUMBER})", sentence)
    sql = (
        "select budget, difference, difference_std_error, best_single, verdict "
        "from evaluation.multi_arm where experiment = 'hillstrom' and learner = 'deciding' "
        "and policy = 'multi_arm' and outcome = 'visit' and list_contains($budgets, budget) "
        "order by budget"
    )
    rows = snapshot(hillstrom_home).execute(sql, {"budgets": budgets}).fetchall()
    assert [row[0] for row in rows] == budgets
    for (value, error), (_, difference, std_error, *_) in zip(shown, rows, strict=True):
        assert float(value) == pytest.approx(difference, abs=LAST_DIGIT)
        assert float(error) == pytest.approx(std_error, abs=LAST_DIGIT)
    assert {row[3] for row in rows} == {"mens"}
    assert "the men's e-mail alone, which does best by itself" in sentence
    (words,) = re.findall(r"`evaluation.multi_arm`: (.*?), each by itself", sentence)
    assert [row[4] for row in rows] == re.findall(r"better|worse|inconclusive", words)
