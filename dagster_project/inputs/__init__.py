"""Load the user's files into the tables that training reads.

The inputs are the files of an experiment and of its population. The outputs are ``raw.*``,
``features.*`` and ``assignment.*`` (arm, split and fold of each user). Begin with ``raw.load_raw``.
"""
