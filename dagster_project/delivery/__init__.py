"""What others take away: the files of a list, and the snapshot for SQL and the API.

In come the ledger and the tables of an experiment; out come files with a manifest (``export``) and a
read-only DuckDB file that readers switch to at once (``publish``).
"""
