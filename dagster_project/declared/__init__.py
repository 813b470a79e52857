"""Read the user's declaration: ``experiment.toml`` and the SQL of its features.

The input is the folder of an experiment. The output is a checked ``BatchExperiment``, which every later
layer takes. Begin with ``experiment``; ``feature_sql`` refuses features that could leak the outcome.
"""
