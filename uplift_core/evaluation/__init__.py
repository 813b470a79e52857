"""Held-out figures and their standard errors: Qini, uplift by decile, policy value, the gate.

In come score groups, users with equal scores added up, and never single users. Begin with ``estimate``
and ``policy``; ``gate`` says whether a learner's gain is shown.
"""
