"""The tests of all packages."""

import uplift_core  # noqa: F401 - before NumPy: it says how many threads that takes
