"""Write a learner's score for other systems: as SQL, as Python, as JSON.

The score is a weighted sum of boosters, each a sum of trees, so it can be written without XGBoost. It is
computed in double precision there; XGBoost adds up in single precision, so scores differ by some 1e-7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from uplift_core.boosting.tree_arrays import TreeArrays, tree_arrays
from uplift_core.boosting.tree_texts import (
    STANDARD,
    Columns,
    SqlDialect,
    json_trees,
    number,
    python_margin,
    sql_margin,
)
from uplift_core.learners.base import Learner

MOST_LEAVES = 12_000  # of a score that is written: some 600 kB of SQL, where databases take 1 MB


@dataclass(frozen=True)
class WrittenTerm:
    """A booster's trees, and how they enter the score."""

    weight: float
    trees: TreeArrays
    columns: Columns


@dataclass(frozen=True)
class ScoreFormula:
    """A learner's score as a sum of trees."""

    features: Sequence[str]
    terms: tuple[WrittenTerm, ...]

    @classmethod
    def of(cls, learner: Learner, features: Sequence[str]) -> Self | None:
        """Read a learner's trees; None if they are too many to be carried away, or of another form."""
        terms = []
        for term in learner.terms():
            trees = tree_arrays(term.booster)
            if trees is None:
                return None
            fixed = {} if term.arm is None else {len(features): float(term.arm)}
            terms.append(WrittenTerm(term.weight, trees, Columns(features, fixed)))
        formula = cls(features, tuple(terms))
        return formula if formula.leaves <= MOST_LEAVES else None

    @property
    def leaves(self) -> int:
        """Number of the trees' leaves."""
        nodes = [each.trees.children[:, 0] == np.arange(len(each.trees.children)) for each in self.terms]
        return int(sum(of_term.sum() for of_term in nodes))

    def sql(self, dialect: SqlDialect = STANDARD) -> str:
        """Return the score as a SQL expression of a user's features."""
        terms = []
        for term in self.terms:
            margin, weight = sql_margin(term.trees, term.columns, dialect), dialect.cast(term.weight)
            mean = f"1 / (1 + exp(-{margin}))" if term.trees.logistic else margin
            terms.append(f"{weight} * ({mean})")
        return "\n+ ".join(terms)

    def json(self) -> dict[str, Any]:
        """Return the score as JSON's types.

        It is the sum over ``terms`` of ``weight`` times the sum of ``base`` and of its ``trees``; where
        ``logistic`` is true, times ``1 / (1 + exp(-sum))`` instead. See ``tree_texts.json_trees``.
        """
        terms = [
            {
                "weight": term.weight,
                "logistic": term.trees.logistic,
                "base": float(term.trees.base),
                "trees": json_trees(term.trees, term.columns),
            }
            for term in self.terms
        ]
        return {"terms": terms}

    def python(self) -> str:
        """Return a Python module with ``score(user)``; a user maps features to numbers or None."""
        parts = [_python_term(term, f"term_{place}") for place, term in enumerate(self.terms)]
        names = "".join(f"    {name!r},\n" for name in self.features)
        total = " + ".join(
            f"{number(term.weight)} * term_{place}(x)" for place, term in enumerate(self.terms)
        )
        return (
            "from math import exp, nan\n\n"
            f"FEATURES = (\n{names})\n\n\n" + "\n\n".join(parts) + "\n\ndef score(user):\n"
            '    """Return the effect of the treatment on a user; None is a missing feature."""\n'
            "    x = [nan if user[name] is None else user[name] for name in FEATURES]\n"
            f"    return {total}\n"
        )


def _python_term(term: WrittenTerm, name: str) -> str:
    first, *more = python_margin(term.trees, term.columns)
    lines = [f"def {name}(x):", f"    total = {first}", *(f"    total += {each}" for each in more)]
    mean = "1 / (1 + exp(-total))" if term.trees.logistic else "total"
    return "\n".join([*lines, f"    return {mean}"]) + "\n"


def score_of(formula: Mapping[str, Any], user: Mapping[str, float | None]) -> float:
    """Return the score of one user by ``ScoreFormula.json``; None or NaN is missing."""

    def value(node: Any) -> float:
        while isinstance(node, Mapping):
            given = user[node["feature"]]
            missing = given is None or math.isnan(given)
            node = node[node["missing"] if missing else "yes" if given < node["below"] else "no"]
        return float(node)

    total = 0.0
    for term in formula["terms"]:
        margin = term["base"] + sum(value(tree) for tree in term["trees"])
        total += term["weight"] * (1 / (1 + math.exp(-margin)) if term["logistic"] else margin)
    return total
