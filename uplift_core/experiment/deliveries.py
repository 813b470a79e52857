"""Where a list goes besides the folder of exports: tables, folders, and tools that are told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from uplift_core.experiment.sources import Declared, Name, TableName

Form = Literal["treat", "all", "changes", "holdout"]
TABLE_KEY = ("experiment", "campaign", "decision_date")  # what says which list a row belongs to


class _Delivery(Declared):
    """What all deliveries have.

    ``connection`` names the target's URI, which the environment holds: ``UPLIFT_CONNECTION_<NAME>``.
    ``campaigns`` are those that are delivered; none named: every one.
    """

    name: Name
    connection: Name
    campaigns: tuple[str, ...] = ()


class _Rows(_Delivery):
    """What deliveries of users have.

    ``form`` says which users: those to ``treat``, ``all`` with the decision about each, the ``changes``
    since the list before, or the ``holdout`` group. ``add`` names columns of the users' raw table that
    the tool needs besides; ``columns`` maps the delivered columns to the tool's names, in its order,
    and leaves out all others.
    """

    form: Form = "treat"
    add: tuple[str, ...] = ()
    columns: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _columns_have_names_of_their_own(self) -> Self:
        twice = [name for name, times in Counter(self.columns.values()).items() if times > 1]
        if twice:
            raise ValueError(f"columns: two columns become '{twice[0]}'; give each a name of its own")
        return self

    def _refuse_beside_preset(self, forms: Sequence[Form], preset: str) -> None:
        if not preset:
            return
        if self.form not in forms:
            raise ValueError(
                f"preset = '{preset}' has no form = '{self.form}'; choose one of {list(forms)}"
            )
        if self.columns:
            raise ValueError(f"preset = '{preset}' says the columns; remove columns")


class TableDelivery(_Rows):
    """Rows in a table of PostgreSQL, exactly once: a list takes the place of its earlier version.

    ``preset = "braze"`` writes the rows that Braze's Cloud Data Ingestion reads.
    """

    kind: Literal["table"]
    table: TableName
    preset: Literal["", "braze"] = ""

    @model_validator(mode="after")
    def _preset_says_the_columns(self) -> Self:
        self._refuse_beside_preset(("treat", "changes"), self.preset)
        return self


class FolderDelivery(_Rows):
    """One file of each list in a folder or an object store, and ``_SUCCESS`` after it.

    ``preset = "braze"`` writes the rows that Braze reads from object stores; ``"customer_match"``
    writes hashed addresses from the raw column ``email``, for Google's Customer Match.
    """

    kind: Literal["folder"]
    format: Literal["csv", "parquet"] = "csv"
    preset: Literal["", "braze", "customer_match"] = ""
    email: str = ""

    @model_validator(mode="after")
    def _preset_says_the_columns(self) -> Self:
        self._refuse_beside_preset(
            ("treat",) if self.preset == "customer_match" else ("treat", "changes"), self.preset
        )
        if (self.preset == "customer_match") != bool(self.email):
            raise ValueError(
                "email names the raw column with the addresses for preset = 'customer_match'; declare "
                "both or neither"
            )
        return self


class WebhookDelivery(_Delivery):
    """A message that a list is ready: counts and the manifest's address, and no user."""

    kind: Literal["webhook"]


Delivery = Annotated[TableDelivery | FolderDelivery | WebhookDelivery, Field(discriminator="kind")]


def check_deliveries(deliveries: Sequence[_Delivery]) -> None:
    """Refuse two deliveries of one name.

    Raises:
        ValueError: names the delivery and the remedy.
    """
    twice = [name for name, times in Counter(each.name for each in deliveries).items() if times > 1]
    if twice:
        raise ValueError(f"delivery: '{twice[0]}' is declared twice; give each a name of its own")
