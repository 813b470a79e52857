"""Gradient-boosted trees: parameters, fitting and predicting, TreeSHAP, sums over several workers.

In come cells with sums of outcomes and weights; out come XGBoost boosters. Begin with ``booster``;
``parameters`` is importable without XGBoost.
"""
