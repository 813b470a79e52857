"""Read and check an experiment's declaration: arms, outcomes, features, sources, decision rules.

The input is ``experiment.toml``; the output is an ``Experiment``, or an error that names key, value and
remedy. Begin to read with ``declaration``.
"""
