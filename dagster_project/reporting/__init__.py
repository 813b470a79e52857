"""What people see of a run: a table's columns, lineage and figures in Dagster, steps on the console.

Begin with ``metadata.describe_table``; ``run_progress`` is for the console.
"""
