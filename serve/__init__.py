"""The decision API: one user, now, by the models and thresholds of the nightly batch."""
