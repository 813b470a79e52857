"""Whom to treat tonight, within a budget and the list rules.

In come ``scores.*``, the budget and the holdout and suppression rules; out comes the ledger
``decisions.treat_list`` with one row a user, and what the night promised and did. Begin with
``treat_list.write_treat_list``: it assigns roles, cuts the list, writes it and judges it by its gates.
"""
