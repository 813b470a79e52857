"""Errors that a user can act on: each says what is wrong, where it is, and what to do."""


class UpliftError(Exception):
    """Base class of all errors that this project raises on purpose."""


class ExperimentError(UpliftError):
    """An experiment's declaration is wrong; the message names the key, the value and the remedy."""


class DataError(UpliftError):
    """Data contradicts its declaration; the message names the column, the value and the remedy."""


class BundleError(UpliftError):
    """A model bundle is incomplete, altered or has another format."""
