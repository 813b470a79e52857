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
        ledger_days: rows by user in ``decisions.treat_list`` and ``decisions.measured``, and arrived
            outcomes. The counts, gates and realised uplift of the night stay. Must cover the days of
            the contact cap.
        models_days: bundles and model cards that no kept snapshot names and that decided no list in
            these days. Their rows in ``models.registry`` stay.
        runs_days: finished runs in Dagster's store, with events and logs, once anything of this table is
            declared. A run that made the last version of an asset stays.
    """

    exports_days: Days | None = None
    full_csv: bool = True
    ledger_days: Days | None = None
    models_days: Days | None = None
    runs_days: Days = 400

    @property
    def prunes(self) -> bool:
        """Whether anything is ever removed."""
        names = {"exports_days", "ledger_days", "models_days", "runs_days"}
        return any(getattr(self, name) for name in names & self.model_fields_set)
