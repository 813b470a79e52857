"""The face of the library: what a user calls on tables and arrays in memory.

Begin with ``fitting.fit`` and ``model.Model``; ``any_scores.evaluate`` judges anybody's scores, and
``estimators`` has the learners singly. No home, no declaration and no database are needed.
"""
