"""The decision API: one user, now, by the models and thresholds of the nightly batch.

In come a published snapshot and requests; out come decisions. Begin with ``app.create_app``; ``release``
is what is published, and ``scoring`` decides.
"""
