"""Name a command as people call it: by make in a checkout, by ``uplift`` elsewhere."""

from pathlib import Path

IN_CHECKOUT = (Path(__file__).parents[1] / "Makefile").is_file()


def spoken(make: str, uplift: str) -> str:
    """Return ``make ...`` in a checkout, and else ``uplift ...``."""
    return f"make {make}" if IN_CHECKOUT else f"uplift {uplift}"


RUN = spoken("run", "run NAME")
ROLLBACK = spoken("rollback", "rollback")
LIFT = spoken("rollback LIFT=1", "rollback --lift")
