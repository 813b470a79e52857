"""Simulated experiments with known effects, to test learners and intervals.

The output is users with features, arm, outcome and true effect. Begin with ``rct.marketing_rct``.
"""
