"""The face of the library: functions for arrays in memory, without a home, a declaration or a database.

``evaluate`` judges anybody's scores on the users of a randomized experiment.
"""
