"""Turn the text of a rule into what another system runs: a query, conditions, a module."""

from __future__ import annotations

import json

from uplift_core.boosting.tree_texts import number

ERRORS = 4  # the cut is so many errors of a score below the threshold
JSON, PYTHON = "json", "python"
SUFFIXES = {JSON: ".json", PYTHON: ".py"}


def file_name(arm: str, rule: str, form: str) -> str:
    """Return the name of the file of a rule: ``womens-score.postgres.sql``, ``womens-depth_1.json``."""
    return f"{arm}-{rule}{SUFFIXES.get(form, f'.{form}.sql')}"


def cut_of(threshold: float, below: float | None, error: float) -> float:
    """Return from which score to treat where scores have rounding errors.

    Args:
        threshold: the engine's threshold.
        below: the best score of a user below it; None if there is none.
        error: by how much scores differ from the engine's, at most, as far as seen.

    Returns:
        A little less than the threshold, but nearer to it than to ``below``.
    """
    slack = ERRORS * error
    return threshold - (slack if below is None else min(slack, (threshold - below) / 2))


def chance_rule(text: str, form: str, words: str, arm: str) -> str:
    """Return a readable rule as a file: ``chance`` is that of the treatment, 0 to 1.

    Args:
        text: the rule as ``models.rule_texts`` has it.
        form: a database, ``json`` or ``python``.
        words: the rule in a sentence.
        arm: the treatment.
    """
    words = _one_line(f"{words} With arm '{arm}'.")
    if form == JSON:
        rule = {"words": words, "result": "chance", "leaves": json.loads(text)}
        return json.dumps(rule, indent=2) + "\n"
    if form == PYTHON:
        return f"# {words}\n\n\n{text}"
    return f"-- {words}\nselect users.*, {text} as chance\nfrom users\n"


def score_rule(text: str, form: str, cut: float, arm: str, version: str) -> str:
    """Return a learner's score and its decision as a file: treat where the score reaches ``cut``."""
    words = _one_line(f"Effect of arm '{arm}' by {version}; treat users with a score from {cut:g}.")
    if form == JSON:
        rule = {"words": words, "result": "score", "treat_from": cut, **json.loads(text)}
        return json.dumps(rule) + "\n"
    if form == PYTHON:
        treat = (
            f"\n\ndef treat(user):\n"
            '    """Return whether to treat a user."""\n'
            f"    return score(user) >= {number(cut)}\n"
        )
        return f"# {words}\n\n{text}{treat}"
    return (
        f"-- {words}\n"
        f"select scored.*, case when score >= {number(cut)} then 1 else 0 end as treat\n"
        f"from (select users.*, {text} as score\nfrom users) as scored\n"
    )


def _one_line(words: str) -> str:
    return " ".join(words.split())
