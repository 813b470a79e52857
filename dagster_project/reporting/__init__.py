"""What the Dagster UI shows of a table: its columns, its lineage and figures as Markdown.

In come the warehouse and a table, out comes metadata. Begin with ``metadata.describe_table``.
"""
