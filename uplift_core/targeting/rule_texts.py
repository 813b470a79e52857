"""Write a rule so that it can be carried away: in words, as SQL, as JSON conditions, as Python."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from uplift_core.boosting.tree_texts import STANDARD, SqlDialect, limit, number
from uplift_core.targeting.policy_tree import Condition, Leaf, Node, PolicyTree

FLAG = "1:"  # what the description of a feature begins with that is 0 or 1
NOT_DESCRIBED: Mapping[str, str] = MappingProxyType({})
NEARLY_NOBODY, NEARLY_EVERYBODY = 0.01, 0.99  # beyond these, a share is told with a decimal


def in_words(tree: PolicyTree, descriptions: Mapping[str, str] = NOT_DESCRIBED) -> str:
    """Say whom the rule treats: one sentence; ``descriptions`` as in ``conditions_in_words``."""
    treated = [(path, leaf) for path, leaf in tree.leaves() if leaf.treated > 0]
    if not treated:
        return "Treat nobody."
    parts = [_some(leaf.treated) + conditions_in_words(path, descriptions) for path, leaf in treated]
    return f"Treat {'; and '.join(parts)}."


def _some(share: float) -> str:
    if share >= 1:
        return "users with "
    digits = 0 if NEARLY_NOBODY < share < NEARLY_EVERYBODY else 1
    return f"{share:.{digits}%}, drawn by chance, of users with "


def conditions_in_words(
    path: Sequence[Condition], descriptions: Mapping[str, str] = NOT_DESCRIBED
) -> str:
    """Say which users are in a leaf, feature by feature.

    Args:
        path: the leaf's conditions.
        descriptions: feature -> what it is; ``1: <what is true>`` of one that is 0 or 1.
    """
    by_feature: dict[str, list[Condition]] = {}
    for condition in path:
        by_feature.setdefault(condition.feature, []).append(condition)
    return (
        " and ".join(
            _of_feature(name, conditions, descriptions.get(name, ""))
            for name, conditions in by_feature.items()
        )
        or "any features"
    )


def _of_feature(feature: str, conditions: Sequence[Condition], description: str) -> str:
    if description.startswith(FLAG) and all(0 < c.value <= 1 for c in conditions):
        answer = "no" if conditions[0].below else "yes"
        missing = " or missing" if conditions[0].below and conditions[0].with_missing else ""
        return f"{feature} = {answer}{missing} ({description.removeprefix(FLAG).strip()})"
    told = f" ({description})" if description else ""
    return _limits(feature, conditions) + told


def _limits(feature: str, conditions: Sequence[Condition]) -> str:
    upper = min((c.value for c in conditions if c.below), default=math.inf)
    lower = max((c.value for c in conditions if not c.below), default=None)
    if lower is None:
        missing = " or missing" if conditions[0].with_missing else ""
        return f"{feature} missing" if upper == -math.inf else f"{feature} below {upper:g}{missing}"
    known = f"{feature} known" if lower == -math.inf else f"{feature} from {lower:g}"
    return known if upper == math.inf else f"{known}, below {upper:g}"


def sql_case(tree: PolicyTree, dialect: SqlDialect = STANDARD) -> str:
    """Return the rule as a SQL expression of a user's features: the chance of the treatment, 0 to 1."""

    def written(node: Node, indent: str) -> str:
        if isinstance(node, Leaf):
            return number(node.treated)
        name, deeper = dialect.quote(node.feature), indent + "    "
        missing = f"{name} is null"
        below = (
            missing if node.value == -math.inf else f"{name} < {number(limit(node.value))} or {missing}"
        )
        return (
            f"case\n{deeper}when {below} then {written(node.below, deeper)}"
            f"\n{deeper}else {written(node.above, deeper)}\n{indent}end"
        )

    return written(tree.root, "")


def python_function(tree: PolicyTree) -> str:
    """Return a Python module with ``chance(user)``; a user maps features to numbers or None."""

    def written(node: Node, indent: str) -> str:
        if isinstance(node, Leaf):
            return f"{indent}return {number(node.treated)}\n"
        value = number(limit(node.value)) if math.isfinite(node.value) else 'float("-inf")'
        return (
            f"{indent}if _reaches(user[{node.feature!r}], {value}):\n"
            f"{written(node.above, indent + '    ')}{written(node.below, indent)}"
        )

    return (
        "def chance(user):\n"
        '    """Return the chance of the treatment, 0 to 1; None is a missing feature."""\n'
        f"{written(tree.root, '    ')}\n\n"
        "def _reaches(value, limit):\n"
        "    return value is not None and value >= limit\n"
    )


def json_conditions(tree: PolicyTree) -> list[dict[str, Any]]:
    """Return the leaves as JSON: all conditions of ``if`` must hold; ``treat`` is the chance, 0 to 1.

    A condition has ``feature`` and either ``below`` (smaller, or missing) or ``from`` (this or larger).
    A value of null stands for the smallest one: ``below`` null is missing, ``from`` null is known.
    """

    def written(condition: Condition) -> dict[str, Any]:
        value = limit(condition.value) if math.isfinite(condition.value) else None
        return {"feature": condition.feature, "below" if condition.below else "from": value}

    return [{"if": [written(c) for c in path], "treat": leaf.treated} for path, leaf in tree.leaves()]


def decide(conditions: Sequence[Mapping[str, Any]], user: Mapping[str, float | None]) -> float:
    """Return the chance of the treatment of one user, by JSON conditions; None or NaN is missing."""
    for leaf in conditions:
        if all(_holds(condition, user[condition["feature"]]) for condition in leaf["if"]):
            return float(leaf["treat"])
    raise AssertionError("the leaves of a rule hold every user")  # pragma: no cover


def _holds(condition: Mapping[str, Any], value: float | None) -> bool:
    missing = value is None or math.isnan(value)
    edge = condition.get("below", condition.get("from"))
    reaches = not missing and (edge is None or value >= edge)
    return reaches if "from" in condition else not reaches
