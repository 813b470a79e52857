"""Reading predictions: the names of the score columns, and users with equal scores as groups.

In comes ``scores.*``; out come held-out groups of users, which ``evaluation`` and ``decisions`` both
read. Begin with ``score_groups``.
"""
