"""Checks that the experiment is randomized as designed: sample ratio and balance of features.

The input is counts and features by arm; the output is test statistics. Begin to read with
``sample_ratio``.
"""
