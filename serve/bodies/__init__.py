"""Request bodies in JSON and Arrow, read in pieces and refused early.

Bytes of a request come in; columns of numbers go out, or an error that names the row. Begin with
``json_batch`` and ``arrow_stream``.
"""
