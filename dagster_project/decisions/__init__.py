"""Decide whom to treat tonight, within a budget and the list rules.

The inputs are ``scores.*``, the budget, and the rules of the holdout group and of suppression. The
outputs are the ledger ``decisions.treat_list`` with one row per user, and a report of each night. Begin
with ``treat_list.write_treat_list``: it assigns roles, cuts the list, writes it and judges it by the
checks of the night.
"""
