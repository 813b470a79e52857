"""The Streamlit app. It gets all of its data from the API, by HTTP."""
