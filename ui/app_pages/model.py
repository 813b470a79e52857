"""Model: what is answered from."""

from __future__ import annotations

import re

import pandas as pd
import streamlit as st

from ui.client import ApiClient
from ui.state import Choice, page
from ui.tables import show_table
from ui.wording import ONE_ERROR

HASHES = {
    "model_version": "model version",
    "bundle_sha256": "models, sha256",
    "data_sha256": "data, sha256",
    "sql_sha256": "SQL, sha256",
    "published_at": "published at",
}
PLOT = re.compile(r"!\[[^\]]*\]\([^)]*\)")  # the card's plots stand on the page Evidence


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Model")
    found = client.get(f"/models/{choice.model['model_version']}")
    features = client.get("/features", experiment=choice.experiment)
    card, inputs, hashes = st.tabs(["Card", "Features", "Hashes and versions"])
    with card:
        st.markdown(PLOT.sub("", found["card"] or "This model has no card."))
        st.caption(ONE_ERROR)
    with inputs:
        st.markdown("What a request sends:")
        attributes = pd.DataFrame(features["attributes"])
        table = ["table"] if attributes["table"].any() else []
        show_table(attributes, [*table, "name", "type", "low", "high", "levels"])
        st.markdown("What is made of it:")
        show_table(features["features"], ["name", "type", "description", "sql_file", "sql_sha256"])
        st.code(features["features_sql"], language="sql")
    with hashes:
        rows = {what: found[name] for name, what in HASHES.items()} | found["libraries"]
        st.dataframe(pd.DataFrame(list(rows.items()), columns=["what", "value"]), hide_index=True)


page(show)
