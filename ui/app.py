"""The Streamlit app: ``streamlit run ui/app.py``."""

from __future__ import annotations

import streamlit as st

# Streamlit stacks columns on phones only; this stacks them on tablets, too.
CSS = """<style>
@media (max-width: 1000px) {
  [data-testid="stHorizontalBlock"]:has(> [data-testid="stColumn"]) { flex-wrap: wrap; }
  [data-testid="stColumn"] { flex: 1 1 100% !important; min-width: 100% !important; }
  [data-testid="stMainBlockContainer"] { padding-left: 1.5rem; padding-right: 1.5rem; }
}
[data-testid="stMainBlockContainer"] { padding-top: 4.5rem; }
[data-testid="stCaptionContainer"] code, [data-testid="stMarkdownContainer"] :not(pre) > code {
  color: inherit; /* the default green is too pale */
}
/* Tables of the model card: figures stay in one line; hashes and JSON (in two-column tables) wrap. */
[data-testid="stMarkdownContainer"] table { display: block; overflow-x: auto; }
[data-testid="stMarkdownContainer"] td { white-space: nowrap; }
[data-testid="stMarkdownContainer"] td:nth-child(2):last-child {
  white-space: normal; overflow-wrap: anywhere;
}
</style>"""

st.set_page_config(page_title="Uplift engine", page_icon=":material/target:", layout="wide")
st.html(CSS)
st.navigation(
    [
        st.Page("app_pages/score.py", title="Score a user", icon=":material/person_search:"),
        st.Page("app_pages/sweep.py", title="Budget sweep", icon=":material/tune:"),
        st.Page("app_pages/who.py", title="Who", icon=":material/groups:"),
        st.Page("app_pages/evidence.py", title="Evidence", icon=":material/fact_check:"),
        st.Page("app_pages/lists.py", title="Tonight's list", icon=":material/checklist:"),
        st.Page("app_pages/realised.py", title="Realised", icon=":material/monitoring:"),
        st.Page("app_pages/model.py", title="Model", icon=":material/deployed_code:"),
    ],
    position="top",
).run()
