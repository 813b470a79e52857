"""A JSON object in pieces is the same object, or is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.bodies import json_stream
from serve.bodies.json_stream import JsonReader
from serve.errors import RequestError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=4), v)
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES | st.lists(VALUES, max_size=30), max_size=5)


def read(body: bytes, largest: int = 500) -> dict[str, Any]:
    """The object, its lists by their entries."""
    reader, members = JsonReader(body, largest), {}
    for name in reader.members():
        if reader.is_list():
            members[name] = [entry for entries in reader.entries() for entry in entries]
        else:
            members[name] = reader.value()
    return members


@pytest.fixture(params=[(7, 11), (64, 40), (2**17, 2**15)], ids=str)
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much is decoded at once, and how much of a list is read at once."""
    monkeypatch.setattr(json_stream, "WINDOW", request.param[0])
    monkeypatch.setattr(json_stream, "TOGETHER", request.param[1])


@pytest.mark.parametrize(
    "form", [{}, {"indent": 3}, {"ensure_ascii": False, "separators": (",", ":")}], ids=str
)
def test_pieces_are_the_whole(pieces: None, form: dict) -> None:
    @given(OBJECTS)
    @settings(max_examples=40)
    def same(value: dict) -> None:
        assert read(json.dumps(value, **form).encode(), largest=10_000) == value

    same()


@pytest.mark.parametrize(
    "value",
    [
        {"a": [{"x": "},{"}, {"x": "],["}, {"x": {"y": {}}, "z": 1}, {"x": [{}, {}]}] * 5, "b": [1, 2]},
        {"a": ["1,2", "]", ",", '"', "\\", "\u20ac\U0001f600"] * 5, "b": {"c": [[], [1, [2, 3]]]}},
        {"a": [1.5e10, -0.25, 10**18, 0, True, None] * 9, "a]": []},
    ],
)
def test_commas_and_brackets_within_entries_cut_nothing(pieces: None, value: dict) -> None:
    assert read(json.dumps(value).encode()) == value
    assert read(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize("length", range(40, 60))
def test_a_number_at_the_end_of_a_window_is_read_whole(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "WINDOW", 50)
    value = {"a": [1] * length, "b": 12345.678e-3}
    assert read(json.dumps(value).encode(), largest=20) == value


WRONG = [
    "",
    " ",
    "[]",
    "3",
    "{",
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    '{"a":1,}',
    '{"a":[1',
    '{"a":[1,',
    "{1:2}",
]
WRONG += [
    '{"a":[1,]}',
    '{"a":[1 2]}',
    '{"a":1}}',
    '{"a":1} x',
    '{"a":[{},{},{]}',
    '{"a":tru}',
    '{"a":01}',
]
WRONG += ['{"a":["x}', '{"a":[' + "[" * 300 + "}", '{"a":' + "9" * 5000 + "}", '{"a":' + "[" * 9000]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_object_is_refused(pieces: None, text: str) -> None:
    with pytest.raises(RequestError, match=r"^body: "):
        read(text.encode(), largest=20_000)


def test_other_encodings_are_refused(pieces: None) -> None:
    with pytest.raises(RequestError, match="UTF-8"):
        read(b'{"a":"\xff"}')
    with pytest.raises(RequestError, match="UTF-8"):
        read('{"a":["\u20ac"]}'.encode()[:-4])


def test_a_value_has_a_largest_size(pieces: None) -> None:
    for body in ({"a": "x" * 501}, {"a": {"b": [1] * 400}}, {"a": [1, {"b": "x" * 501}]}):
        with pytest.raises(RequestError, match=r"more than 500 characters|not valid JSON"):
            read(json.dumps(body).encode())
    assert read(json.dumps({"a": "x" * 400, "b": [1] * 9000}).encode())["b"] == [1] * 9000


def test_no_more_is_read_than_is_wanted() -> None:
    body = b'{"rows":[' + b"1," * 1_000_000 + b"oops"
    reader = JsonReader(body, 1000)
    next(reader.members())
    assert next(reader.entries())[:3] == [1, 1, 1]
    assert reader._taken < 300_000
