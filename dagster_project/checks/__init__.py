"""Check each table; a check that fails at error severity stops the run.

The inputs are the tables of a layer. The outputs are findings for Dagster and ``quality.results``.
Begin with ``dagster_checks``; ``expected`` and ``expected_raw`` list the rules of each table.
"""
