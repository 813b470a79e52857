"""The findings of checks, and the table that records them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import pyarrow as pa

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier

RESULTS = Identifier.of("quality", "results")
SHOWN = 3  # number of messages shown of one check; the table has all


@dataclass(frozen=True)
class Finding:
    """The result of one rule for one column.

    ``warn``: a failure is a warning and does not stop the run. ``value`` is the observed figure or value
    of the column, as text.
    """

    check: str
    rule: str
    column: str
    value: str
    message: str
    passed: bool
    warn: bool = False

    @property
    def refuses(self) -> bool:
        """True if the checked table must not be used."""
        return not self.passed and not self.warn


def summary(findings: Sequence[Finding]) -> str:
    """Join the messages of failed findings into one text; empty if none failed."""
    failed = [finding.message for finding in findings if not finding.passed]
    more = f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    return "; ".join(failed[:SHOWN]) + more


def record(db: Warehouse, experiment: str, table: str, findings: Iterable[Finding]) -> None:
    """Replace the recorded findings of one table."""
    now = datetime.now(UTC).replace(tzinfo=None)
    key = {"experiment": experiment, "table_name": table}
    rows = [key | {"checked_at": now} | _row(finding) for finding in findings]
    if rows:
        db.replace_rows(RESULTS, key, pa.Table.from_pylist(rows))


def _row(finding: Finding) -> dict[str, object]:
    row = asdict(finding)
    row["severity"] = "warning" if row.pop("warn") else "critical"
    row["check_name"] = row.pop("check")
    return row
