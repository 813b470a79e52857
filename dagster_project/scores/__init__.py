"""Read predictions: the names of the score columns, and groups of users with equal scores.

The input is ``scores.*``. The output is groups of held-out users, which both ``evaluation`` and
``decisions`` read. Begin with ``score_groups``.
"""
