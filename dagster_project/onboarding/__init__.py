"""From a file to a declared experiment: what its columns are, what is guessed, what is written."""
