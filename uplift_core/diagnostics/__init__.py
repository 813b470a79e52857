"""Is the experiment what it claims to be? Sample ratio, balance of features, and their statistics.

In come counts and features by arm; out come test statistics with p-values. Begin with
``sample_ratio``.
"""
