"""Simulated experiments with known effects, to prove learners and intervals on.

Out come users with features, arm, outcome and true effect. Begin with ``rct.simulate_rct``.
"""
