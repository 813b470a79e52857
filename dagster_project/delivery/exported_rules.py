"""Export the rules of a list's models beside the list, for systems that decide by themselves.

The readable rules of the list's arm, and the score of its learner with the cut of this list, each as SQL
for some databases, as JSON and as Python. A file never changes; its folder is named after its content.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dagster_project.decisions.records import LIST_RULES, THIS_LIST, TREAT_LIST, ListKey
from dagster_project.delivery.stores import Store, prepared
from dagster_project.training.rule_texts import RULE_TEXTS, SCORE
from dagster_project.training.rules import RULES
from dagster_project.warehouse.connection import Warehouse
from uplift_core.targeting.arm_choice import BEST
from uplift_core.targeting.carried_rules import chance_rule, cut_of, file_name, score_rule

FOLDER = "rules"  # what the folder's name begins with


@dataclass(frozen=True)
class ExportedRules:
    """What the manifest says of the exported rules.

    Attributes:
        files: path, arm, rule, form, bytes and sha256 of each file.
        score: threshold and cut of the score, or why it is not exported.
    """

    files: list[dict[str, Any]]
    score: dict[str, Any]


def export_rules(
    db: Warehouse, store: Store, path: str, key: ListKey, night: Mapping[str, Any]
) -> ExportedRules:
    """Write the rules of a list's model version below the list's folder; none if they are not kept.

    Args:
        db: the warehouse.
        store: where exports go.
        path: the list's folder in it.
        key: which list.
        night: the list's row of ``decisions.nights``.
    """
    score, texts = _score(db, key, night), _chances(db, night)
    if "cut" in score:
        texts |= _score_texts(db, night, score["cut"])
    if not texts:
        return ExportedRules([], score)
    contents = {name: text.encode() for name, (_, text) in texts.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    version = hashlib.sha256("".join(digests.values()).encode()).hexdigest()[:12]
    folder = f"{FOLDER}-{version}"
    if not all(store.sha256(f"{path}/{folder}/{name}") == digest for name, digest in digests.items()):
        with prepared(store) as workspace:
            for name, content in contents.items():
                (workspace / name).write_bytes(content)
            store.put_folder(workspace, f"{path}/{folder}")
    files = [
        {"path": f"{folder}/{name}", **texts[name][0], "bytes": len(content), "sha256": digests[name]}
        for name, content in contents.items()
    ]
    return ExportedRules(files, score)


Texts = dict[str, tuple[dict[str, str], str]]  # file -> its labels and its text


def _chances(db: Warehouse, night: Mapping[str, Any]) -> Texts:
    """Return the readable rules of the list's arm; of all arms if it chooses each user's."""
    rows = db.rows(
        f"select arm, written.rule, form, text, words from {RULE_TEXTS} as written "
        f"inner join {RULES} as read using (experiment, arm, model_version) "
        "where experiment = $experiment and model_version = $model_version "
        f"and written.rule = 'depth_' || read.depth and (arm = $arm or $arm = '{BEST}') "
        "order by arm, written.rule, form",
        {name: night[name] for name in ("experiment", "model_version", "arm")},
    )
    return {
        file_name(arm, rule, form): (
            {"arm": arm, "rule": rule, "form": form},
            chance_rule(text, form, words, arm),
        )
        for arm, rule, form, text, words in rows
    }


def _score_texts(db: Warehouse, night: Mapping[str, Any], cut: float) -> Texts:
    arm, version = night["arm"], night["model_version"]
    rows = db.rows(
        f"select form, text from {RULE_TEXTS} where experiment = $experiment and arm = $arm "
        f"and rule = '{SCORE}' order by form",
        {"experiment": night["experiment"], "arm": arm},
    )
    return {
        file_name(arm, SCORE, form): (
            {"arm": arm, "rule": SCORE, "form": form},
            score_rule(text, form, cut, arm, version),
        )
        for form, text in rows
    }


def _score(db: Warehouse, key: ListKey, night: Mapping[str, Any]) -> dict[str, Any]:
    """Return threshold and cut of the list's score, or why no score decides about the list alone."""
    if reason := _no_score(db, key, night):
        return {"not_exported": reason}
    threshold = night["threshold"]
    (below,) = db.one(
        f"select max(score)::double from {TREAT_LIST} where {THIS_LIST} and score < $threshold::float",
        asdict(key) | {"threshold": threshold},
    )
    (error,) = db.one(
        f"select max(error) from {RULE_TEXTS} where experiment = $experiment and arm = $arm",
        {"experiment": night["experiment"], "arm": night["arm"]},
    )
    return {"threshold": threshold, "cut": cut_of(threshold, below, error), "error": error}


def _no_score(db: Warehouse, key: ListKey, night: Mapping[str, Any]) -> str:
    if night["arm"] == BEST:
        return "the list chooses each user's arm by several scores"
    if not math.isfinite(night["threshold"]):
        return "no score reaches the threshold"
    if reason := _other_score(db, night):
        return reason
    rules = db.rows(f"select unit from {LIST_RULES} where {THIS_LIST}", asdict(key))
    costs, values = db.one(
        f"select count(distinct cost), count(distinct value) from {TREAT_LIST} where {THIS_LIST}",
        asdict(key),
    )
    if rules and rules[0][0] not in {None, "user"}:
        return "whole clusters are treated, by their mean score"
    if max(costs, values) > 1:
        return "costs or values differ between users, and decide beside the score"
    return ""


def _other_score(db: Warehouse, night: Mapping[str, Any]) -> str:
    written = db.rows(
        f"select distinct model_version, learner from {RULE_TEXTS} "
        f"where experiment = $experiment and arm = $arm and rule = '{SCORE}'",
        {"experiment": night["experiment"], "arm": night["arm"]},
    )
    if not written:
        return "the score is a sum of too many trees"
    if written != [(night["model_version"], night["learner"])]:
        return f"the written score is that of {' '.join(written[0])}"
    return ""
