"""The decision API: one user, now, by the models and thresholds of the nightly batch.

The service reads a published snapshot and answers requests with decisions. Begin to read with
``app.create_app``; ``release`` loads what is published, and ``scoring`` decides.
"""
