"""Checks of every table: a critical one stops the run before anything downstream is touched."""
