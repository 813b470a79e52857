"""Gradient-boosted trees: parameters, fitting and predicting, TreeSHAP, sums over several workers.

The input is cells with mean outcomes and weights; the output is XGBoost boosters. Begin to read with
``booster``; ``parameters`` can be imported without XGBoost.
"""
