"""What must be true of each table; a check that fails at error severity stops the run.

In come the tables of a layer, out come findings for Dagster and ``quality.results``. Begin with
``dagster_checks``; ``expected`` lists the rules of each table.
"""
