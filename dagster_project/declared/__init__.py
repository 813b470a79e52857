"""What the user declared: ``experiment.toml`` and the SQL of its features.

In comes the folder of an experiment, out comes a checked ``BatchExperiment``, which every later layer
takes. Begin with ``experiment``; ``feature_sql`` refuses features that could leak the outcome.
"""
