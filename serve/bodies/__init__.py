"""Request bodies, read in pieces and refused early: JSON and Arrow.

In come bytes of a request; out come columns of numbers or an error that names the row. Begin with
``json_batch`` and ``arrow_stream``.
"""
