"""What a check found, and where it is written down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import pyarrow as pa

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier

RESULTS = Identifier.of("quality", "results")
SHOWN = 3  # messages of one check; the table has all


@dataclass(frozen=True)
class Finding:
    """One rule's word about one column.

    ``warn``: a failure is to be looked at, and does not stop the run. ``value`` is what was found, a
    figure or a value of the column, as text.
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
        """Whether what was checked must not be used."""
        return not self.passed and not self.warn


def summary(findings: Sequence[Finding]) -> str:
    """What failed, in one text; empty if nothing did."""
    failed = [finding.message for finding in findings if not finding.passed]
    more = f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    return "; ".join(failed[:SHOWN]) + more


def record(db: Warehouse, experiment: str, table: str, findings: Iterable[Finding]) -> None:
    """Replace what is known of one table."""
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
