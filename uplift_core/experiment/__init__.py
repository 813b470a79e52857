"""The declaration of an experiment, checked: arms, outcomes, features, sources, decision rules.

In comes the text of ``experiment.toml``; out comes an ``Experiment`` or an error that names key, value
and remedy. Begin with ``declaration``.
"""
