"""Tell, with a look every night, whether an unwanted event befalls too many treated users.

The share of treatments after which it happens is compared with a limit by the lower end of a confidence
sequence, see ``over_time.py``. If the share never exceeds the limit, the lower end does so on any night
in at most 2.5 % of campaigns, however many nights there are.
"""

from __future__ import annotations

from dataclasses import dataclass

from uplift_core.evaluation.over_time import sequence_radius


@dataclass(frozen=True)
class Events:
    """Counts of a campaign's treated users.

    Attributes:
        treatments: number of treatments.
        at_first: those of the first night.
        events: number of treatments with the event.
        squares: sum over users of the squared sum of (event - limit) over the user's treatments.
        limit: the accepted share of treatments, in (0, 1).
    """

    treatments: int
    at_first: int
    events: float
    squares: float
    limit: float

    @property
    def rate(self) -> float:
        """Share of treatments with the event."""
        return self.events / self.treatments

    @property
    def lower_end(self) -> float:
        """Lower end of the 95 % confidence sequence of the share; below 0 where there are few events.

        The variance is at least that of independent treatments whose share is the limit, which is known
        before the first event.
        """
        of_one = self.limit * (1 - self.limit)
        variance = max(self.squares, self.treatments * of_one)
        radius = sequence_radius(variance, self.at_first * of_one)
        return self.rate - radius / self.treatments

    @property
    def too_many(self) -> bool:
        """Whether the share is shown to exceed the limit."""
        return self.lower_end > self.limit
