"""Decide whom to treat within a budget, for known scores.

The input is scores and costs; the output is list sizes, thresholds and, for several arms, the best order
of spending. Begin to read with ``budget``; ``arm_path`` decides between several arms.
"""
