"""``/rules`` answers with the rules that the list's export has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.support import opened
from uplift_core.artifacts.home import Home


@pytest.mark.parametrize("form", ["postgres", "json", "python"])
def test_the_rules_are_those_of_the_export(
    hillstrom_api: TestClient, hillstrom_home: Path, form: str
) -> None:
    (path,) = (hillstrom_home / "exports" / "hillstrom").glob("*/womens/manifest.json")
    exported = {
        Path(entry["path"]).name: (path.parent / entry["path"]).read_text()
        for entry in json.loads(path.read_bytes())["rules"]
        if entry["form"] == form
    }
    answer = hillstrom_api.get("/rules", params={"experiment": "hillstrom", "form": form, "score": True})
    given = answer.json()
    assert answer.status_code == 200
    rules = [*given["rules"], given["score"]]
    assert [rule["file"] for rule in rules] == [*exported]
    for rule in rules:
        assert rule["text"] == exported[rule["file"]]
    assert given["score"]["cut"] < given["score"]["threshold"]


def test_the_gain_of_a_rule_is_the_evaluations(hillstrom_api: TestClient, hillstrom_home: Path) -> None:
    given = hillstrom_api.get("/rules", params={"experiment": "hillstrom", "arm": "mens"}).json()
    assert given["score"] is None
    with opened(Home(hillstrom_home)) as db:
        gains = db.rows(
            "select gain_over_random, gain_std_error from evaluation.rules where arm = 'mens' "
            "order by depth"
        )
    told = [(r["gain"]["gain_over_random"], r["gain"]["gain_std_error"]) for r in given["rules"]]
    assert told == gains
    assert len(gains) == 2


def test_an_unknown_form_is_refused(hillstrom_api: TestClient) -> None:
    assert hillstrom_api.get("/rules", params={"form": "oracle"}).status_code == 422
