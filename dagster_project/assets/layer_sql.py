"""Find the SQL files that make each layer, in the modules that render them."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from dagster_project.delivery.known_users import snapshot_files
from dagster_project.settings import SQL_FOLDER
from dagster_project.warehouse.schema import CONTACTS_SQL, ID_RULES, TABLE_RULES, USER_RULES, rule_file

PACKAGE = Path(__file__).parent.parent
FILE_NAME = re.compile(r"[a-z_]+/[\w.]+\.sql")

# Layer -> modules that render its SQL, on this machine and on a cluster.
MODULES = {
    "raw": ("inputs/raw", "inputs/row_numbers"),
    "assignment": ("inputs/assignment",),
    "cells": ("training/cells", "compute/cluster/tasks", "compute/cluster/cluster"),
    "models": ("scores/score_groups",),
    "scores": ("scores/predictions", "scores/score_groups"),
    "evaluation": (
        "scores/score_groups",
        *("evaluation/segments", "evaluation/average_effects", "evaluation/placebo"),
        "evaluation/complier_effects",
    ),
    "multi_arm": ("evaluation/multi_arm", "scores/arm_users"),
    "crosscheck": ("evaluation/crosscheck",),
    "multi_arm_list": ("decisions/multi_arm_list", "decisions/registered", "decisions/roles"),
    "treat_list": (
        *("decisions/treat_list", "decisions/registered", "decisions/roles", "decisions/nights"),
        *("scores/score_groups", "evaluation/complier_effects"),
        *("decisions/user_effects", "decisions/best_arm", "decisions/night_arms"),
        *("decisions/guardrails", "decisions/exploration", "decisions/listed_rows"),
        *("compute/cluster/lists", "compute/cluster/list_tasks"),
    ),
    "learned": ("decisions/learning", "decisions/listed_rows"),
    "realised": ("decisions/realised", "decisions/over_time"),
    "outcomes": ("decisions/arrivals", "decisions/realised", "decisions/over_time"),
    "export": ("delivery/export",),
    "delivered": ("delivery/targets/delivered", "delivery/export"),
    "published": ("delivery/known_users",),
}
# Layer -> further files, which no module renders; rules are macros of the database.
RULES = tuple(map(rule_file, (*USER_RULES, *TABLE_RULES)))
BESIDES = {
    "raw": tuple(map(rule_file, ID_RULES)),
    "thresholds": (rule_file("holdout_scores"),),
    "multi_arm_list": (*RULES, CONTACTS_SQL),
    "treat_list": (*RULES, CONTACTS_SQL),
    "published": (*RULES, *(file.relative_to(SQL_FOLDER).as_posix() for file in snapshot_files())),
}


@cache
def sql_of(layer: str) -> tuple[str, ...]:
    """Return the SQL files of a layer, relative to ``sql/``, in alphabetical order."""
    names = set(BESIDES.get(layer, ()))
    for module in MODULES.get(layer, ()):
        tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
        names |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and FILE_NAME.fullmatch(node.value)
        }
    return tuple(sorted(names))


def texts_of(layer: str) -> list[str]:
    """Return the texts of a layer's SQL files."""
    return [(SQL_FOLDER / name).read_text(encoding="utf-8") for name in sql_of(layer)]
