"""The Streamlit app; it talks HTTP to the API alone."""
