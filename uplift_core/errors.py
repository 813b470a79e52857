"""Errors that a user can act on: each says what is wrong, where, and what to do."""


class UpliftError(Exception):
    """Base of all errors that this package raises on purpose."""


class ExperimentError(UpliftError):
    """An experiment's declaration is wrong; names the key, the value and the remedy."""


class DataError(UpliftError):
    """Data breaks what was declared about it; names the column, the value and the remedy."""


class BundleError(UpliftError):
    """A model bundle is incomplete, altered or of another format."""
