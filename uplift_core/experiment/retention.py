"""How long what grows with every night is kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from uplift_core.experiment.sources import Declared

Days = Annotated[int, Field(ge=2)]  # tonight's lists and those of the night before always stay


class Retention(Declared):
    """How many days what grows with every night is kept; without a number, for good.

    Attributes:
        exports_days: exported lists, with all their files.
        full_csv: whether the exported sheets of all users are written as CSV, too. ``treat`` always is,
            and Parquet files always hold all sheets.
        ledger_days: rows by user in ``decisions.treat_list``. The counts, gates and realised uplift of
            the night stay. Must cover the days of the contact cap.
        models_days: bundles and model cards that no kept snapshot names and that decided no list in
            these days. Their rows in ``models.registry`` stay.
    """

    exports_days: Days | None = None
    full_csv: bool = True
    ledger_days: Days | None = None
    models_days: Days | None = None

    @property
    def prunes(self) -> bool:
        """Whether anything is ever removed."""
        return any((self.exports_days, self.ledger_days, self.models_days))
