"""Whom to treat within a budget, when the scores are known.

In come scores and costs; out come list sizes, thresholds and, for several arms, the order in which
money is spent best. Begin with ``budget``; ``arm_path`` decides between several arms.
"""
