"""Model: the card, the features and the hashes of the model in use."""

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
PLOT = re.compile(r"!\[[^\]]*\]\([^)]*\)")  # plots are shown on the page Evidence


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Model")
    details = client.get(f"/models/{choice.model['model_version']}")
    features = client.get("/features", experiment=choice.experiment)
    card, inputs, hashes = st.tabs(["Card", "Features", "Hashes and versions"])
    with card:
        st.markdown(PLOT.sub("", details["card"] or "This model has no card."))
        st.caption(ONE_ERROR)
    with inputs:
        st.markdown("Attributes that a request sends:")
        attributes = pd.DataFrame(features["attributes"])
        table = ["table"] if attributes["table"].any() else []
        show_table(attributes, [*table, "name", "type", "low", "high", "levels"])
        st.markdown("Features that are computed from it:")
        show_table(features["features"], ["name", "type", "description", "sql_file", "sql_sha256"])
        st.code(features["features_sql"], language="sql")
    with hashes:
        rows = {what: details[name] for name, what in HASHES.items()} | details["libraries"]
        st.dataframe(pd.DataFrame(list(rows.items()), columns=["what", "value"]), hide_index=True)


page(show)
