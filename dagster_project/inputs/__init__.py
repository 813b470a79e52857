"""From the user's files to the tables that training reads.

In come the files of an experiment and of its population, out come ``raw.*``, ``features.*`` and
``assignment.*`` (arm, split and fold of each user). Begin with ``raw.load_raw``.
"""
