"""The folders below ``UPLIFT_HOME``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The folders below ``UPLIFT_HOME``."""

    root: Path

    @property
    def warehouse(self) -> Path:
        """The batch's DuckDB file."""
        return self.root / "warehouse.duckdb"

    @property
    def bundles(self) -> Path:
        """Model bundles, one folder a version."""
        return self.root / "bundles"

    @property
    def published(self) -> Path:
        """Snapshots and the pointer to the current one."""
        return self.root / "published"

    @property
    def exports(self) -> Path:
        """Treat lists for campaign tools."""
        return self.root / "exports"

    @property
    def scratch(self) -> Path:
        """Files on their way out, and DuckDB's own that do not fit into memory."""
        return self.root / "tmp"

    @property
    def partitions(self) -> Path:
        """What a cluster's workers wrote: Parquet, read by views of the warehouse and of snapshots."""
        return self.root / "partitions"

    @property
    def cards(self) -> Path:
        """Model cards with their plots, one folder a version."""
        return self.root / "cards"

    @property
    def sources(self) -> Path:
        """The cache of source files."""
        return self.root / "sources"

    @property
    def generated_sql(self) -> Path:
        """SQL that was generated, to be read by people."""
        return self.root / "sql"
