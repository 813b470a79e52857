from __future__ import annotations

import json

import pandas as pd
from streamlit.testing.v1 import AppTest

from ui.tables import HEADINGS, heading

LARGE = 2**63 - 1


PAGE = """
from ui.tables import show_table

rows = [{"rank": 1, "user_id": 2**63 - 1, "propensity": 0.5, "unasked": 1, "promised": -0.25}]
show_table(rows, ["promised", "absent", "user_id", "propensity", "rank"])
"""


def table() -> AppTest:
    app = AppTest.from_string(PAGE).run()
    assert not app.exception
    return app


def test_columns_are_those_asked_for_in_their_order_under_headings() -> None:
    chance = "chance of treatment, before the draws"
    assert list(table().dataframe[0].value) == ["promised", "user id", chance, "rank"]


def test_an_id_of_63_bits_is_text() -> None:
    frame = table().dataframe[0].value
    assert list(frame["user id"]) == [str(LARGE)]
    assert pd.api.types.is_integer_dtype(frame["rank"])


def test_no_heading_is_a_column_name() -> None:
    assert not [name for name in [*HEADINGS, "some_column"] if "_" in heading(name)]


def test_shares_are_shown_as_percentages() -> None:
    page = PAGE.replace('"rank"])', '"rank"], shares=["promised"])')
    (table_shown,) = AppTest.from_string(page).run().dataframe
    columns = json.loads(table_shown.proto.columns)
    assert columns["promised"]["type_config"]["format"] == "percent"
    assert table().dataframe[0].value["promised"].tolist() == [-0.25]


def test_headings_that_meet_in_a_table_differ() -> None:
    errors = ("outcomes_error", "profit_error", "promised_std_error")
    assert len({heading(name) for name in errors}) == len(errors)
    assert all("± (standard error)" in heading(name) for name in errors)
