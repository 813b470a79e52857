"""Draft an ``experiment.toml`` from a CSV or Parquet file.

The input is the user's file. The output is a folder with a declaration; each guess in it is explained.
Begin with ``new_folder``; ``guesses`` decides the role of each column.
"""
