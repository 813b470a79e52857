"""From users to models: equal users are added up to cells, and learners are fitted on the cells.

In come ``features.*`` and ``assignment.*``; out come ``training.*``, the bundle of models and
``models.registry``. Begin with ``fitting.train_arm``; ``scoring`` gives every user the predictions of
their cell.
"""
