"""Deliver results: the files of a list, and the snapshot for SQL and the API.

The inputs are the ledger and the tables of an experiment. The outputs are files with a manifest
(``export``) and a read-only DuckDB file that readers switch to at once (``publish``).
"""
