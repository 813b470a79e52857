"""Outcomes that arrive after lists were made: which files hold them, and how long a night waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from uplift_core.experiment.sources import Declared, Name

Days = Annotated[int, Field(ge=1, le=366)]


class Arrivals(Declared):
    """Files of outcomes, one row a user and moment, which are read as they arrive.

    Attributes:
        path: the files, relative to the experiment's folder; a pattern names several.
        within_days: outcome -> its window. A night's outcome of a user is what happened from the list's
            date on, in this many days. Outcomes that are not named are not read. An event of
            ``decisions.guardrails`` may be named, too.
        user: column with the users' id; default: the experiment's column, or ``user_id``.
        moment: column: when the outcome happened.
        recorded: column: when the row was written. Of two rows about one user, outcome and moment, the
            later one counts. Without it, such rows must be equal.
    """

    path: Path
    within_days: Annotated[dict[Name, Days], Field(min_length=1)]
    user: str = ""
    moment: str = "moment"
    recorded: str = ""

    def faults(self, outcomes: set[str]) -> Iterator[str]:
        """Tell what is wrong with these files, for the names of all outcomes."""
        for name in self.within_days.keys() - outcomes:
            yield f"within_days names '{name}', which is no outcome; choose among {sorted(outcomes)}"
        columns = [c for c in (self.user, self.moment, self.recorded) if c]
        if len({*columns, *self.within_days}) < len(columns) + len(self.within_days):
            yield f"the columns {[*columns, *self.within_days]} repeat a name; give each its own"
