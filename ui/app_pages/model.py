"""Model: what is answered from."""

from __future__ import annotations

import re

import pandas as pd
import streamlit as st

from ui.client import ApiClient
from ui.state import Choice, page

PLOT = re.compile(r"!\[[^\]]*\]\([^)]*\)")  # the card's plots stand on the page Evidence


def show(client: ApiClient, choice: Choice) -> None:
    """Lay out the page."""
    st.title("Model")
    found = client.get(f"/models/{choice.model['model_version']}")
    features = client.get("/features", experiment=choice.experiment)
    card, inputs, hashes = st.tabs(["Card", "Features", "Hashes and versions"])
    with card:
        st.markdown(PLOT.sub("", found["card"] or "This model has no card."))
    with inputs:
        st.markdown("What a request sends:")
        st.dataframe(pd.DataFrame(features["attributes"]), hide_index=True)
        st.markdown("What is made of it:")
        st.dataframe(pd.DataFrame(features["features"]), hide_index=True)
        st.code(features["features_sql"], language="sql")
    with hashes:
        names = ("model_version", "bundle_sha256", "data_sha256", "sql_sha256", "published_at")
        rows = {name: found[name] for name in names} | found["libraries"]
        st.dataframe(pd.DataFrame(list(rows.items()), columns=["what", "value"]), hide_index=True)


page(show)
