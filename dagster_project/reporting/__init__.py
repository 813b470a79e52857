"""Metadata for the Dagster UI: a table's columns, its lineage, and figures as Markdown.

The inputs are the warehouse and a table, the output is metadata. Begin with ``metadata.describe_table``.
"""
