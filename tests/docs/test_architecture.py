"""docs/architecture.md shows what is: its drawing, its files, its tables."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise

import grimp
import pytest

from dagster_project.settings import REPOSITORY

PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
ARROWS = set(re.findall(r"^  (\w+) --> (\w+)$", PAGE, re.MULTILINE))
PACKAGE = "dagster_project"


def layers() -> list[set[str]]:
    """The rooms by layer, the uppermost first."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in contracts["tool"]["importlinter"]["contracts"]:
        if contract.get("containers") == [PACKAGE]:
            return [set(layer.split(" : ")) for layer in contract["layers"]]
    raise AssertionError("no contract names the layers of dagster_project")


def imports_between_rooms() -> set[tuple[str, str]]:
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    pairs = set()
    for module in graph.modules:
        for target in graph.find_modules_directly_imported_by(module):
            rooms = [name.split(".")[1] for name in (module, target) if "." in name]
            if len(set(rooms)) == 2:
                pairs.add((rooms[0], rooms[1]))
    return pairs


def rooms_below(room: str) -> set[str]:
    """All rooms that the drawing's arrows lead to from a room."""
    below: set[str] = set()
    waiting = [room]
    while waiting:
        current = waiting.pop()
        targets = {target for source, target in ARROWS if source == current} - below
        below |= targets
        waiting += targets
    return below


def test_the_drawing_shows_every_room_of_the_contract() -> None:
    assert {room for arrow in ARROWS for room in arrow} == set().union(*layers())


def test_every_arrow_runs_downward_and_is_an_import() -> None:
    place = {room: number for number, layer in enumerate(layers()) for room in layer}
    assert [arrow for arrow in ARROWS if place[arrow[0]] >= place[arrow[1]]] == []
    assert ARROWS - imports_between_rooms() == set()


def test_every_import_between_rooms_is_in_the_drawing() -> None:
    missing = {(a, b) for a, b in imports_between_rooms() if b not in rooms_below(a)}
    assert missing == set()


def test_every_room_is_explained() -> None:
    table = PAGE[PAGE.index("| room |") : PAGE.index("## The journey")]
    assert set(re.findall(r"`(\w+)`(?=[,` ]*[^|]*\|)", table)) >= set().union(*layers())


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([a-z_]+/[\w./<>]*)`", PAGE))))
def test_every_file_that_is_named_is_there(path: str) -> None:
    assert (REPOSITORY / path.replace("<e>", "hillstrom")).exists(), path


def test_the_steps_are_numbered_in_order() -> None:
    numbers = [int(n) for n in re.findall(r"^\| (\d+)\. ", PAGE, re.MULTILINE)]
    assert len(numbers) >= 10
    assert all(b == a + 1 for a, b in pairwise(numbers))


def test_every_table_of_the_journey_is_in_the_dictionary() -> None:
    dictionary = (REPOSITORY / "docs" / "tables.md").read_text(encoding="utf-8")
    journey = PAGE[PAGE.index("## The journey") : PAGE.index("Where is a night's list cut?")]
    names = re.findall(
        r"`((?:raw|features|assignment|scores|models|evaluation|decisions)\.[\w<>]+)`", journey
    )
    assert names
    for name in names:
        assert f"## {name.replace('<e>', 'hillstrom')}\n" in dictionary, name
