"""From a CSV or Parquet file to a first ``experiment.toml``.

In comes the user's file, out comes a folder with a declaration in which each guess is explained. Begin
with ``new_experiment``; ``guesses`` says which column is what.
"""
