"""The Streamlit app: ``streamlit run ui/app.py``."""

from __future__ import annotations

import streamlit as st

st.set_page_config(page_title="Uplift engine", page_icon=":material/target:", layout="wide")
st.navigation(
    [st.Page("app_pages/score.py", title="Score a user", icon=":material/person_search:")],
    position="top",
).run()
