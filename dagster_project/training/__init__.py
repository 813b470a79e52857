"""Train models: add up users with equal features to cells, and fit the learners on the cells.

The input is ``features.*`` and ``assignment.*``. The output is ``training.*``, the bundle of models and
``models.registry``. Begin with ``fitting.train_arm``; ``scoring`` gives every user the predictions of
their cell.
"""
