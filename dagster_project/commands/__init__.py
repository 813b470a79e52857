"""The commands behind ``make``: ``sql``, ``rollback``, ``dictionary``, ``schema``, ``carry-ledger``.

Each file is one command and runs by ``python -m dagster_project.commands.<name>``.
"""
