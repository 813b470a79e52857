"""Held-out figures and their standard errors: Qini, uplift by decile, policy value, the gate.

The input is score groups, which add up users with equal scores, and never single users. Begin with
``estimate`` and ``policy``; ``gate`` says whether a learner's gain is shown.
"""
