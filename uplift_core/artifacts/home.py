"""The folders below ``UPLIFT_HOME``."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from uplift_core.errors import UpliftError

OWNER_ONLY, OTHERS = 0o700, 0o077  # modes: what the owner may do, what others could do

CHECKOUT = Path(__file__).resolve().parents[2]


def project_folder() -> Path:
    """Return the folder of a team's files: the checkout; for an installed package the current one."""
    return CHECKOUT if (CHECKOUT / "pyproject.toml").is_file() else Path.cwd()


def account() -> str:
    """Name the account that this process runs under, not the variable USER, which anybody may set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container
        return f"account {os.getuid()}"


@dataclass(frozen=True)
class Home:
    """The folders below ``UPLIFT_HOME``."""

    root: Path

    def make_private(self) -> None:
        """Create the home if it is missing, and close it to other accounts.

        The folder gets mode 700. Files that this process makes from now on get 600, and folders 700,
        whatever the umask was.

        Raises:
            UpliftError: it cannot be made, or cannot be written.
        """
        os.umask(OTHERS)
        with suppress(OSError):
            self.root.mkdir(parents=True, exist_ok=True)
        self.require_writable()
        if self.root.stat().st_mode & OTHERS:
            with suppress(PermissionError):  # a mounted volume of another owner stays as it is
                self.root.chmod(OWNER_ONLY)

    @property
    def is_writable(self) -> bool:
        """Whether this process can read and write the folder."""
        return os.access(self.root, os.R_OK | os.W_OK | os.X_OK)

    def require_writable(self) -> None:
        """Refuse a home that this process cannot write, before anything is begun.

        Raises:
            UpliftError: it is missing, another account's, or on a file system that is read-only.
        """
        if not self.is_writable:
            raise UpliftError(
                f"{self.root}: the home cannot be written, nothing was done; run as its owner "
                f"({account()} is not allowed, or the disk is read-only), or name another UPLIFT_HOME"
            )

    @property
    def warehouse(self) -> Path:
        """The batch's DuckDB file."""
        return self.root / "warehouse.duckdb"

    @property
    def register(self) -> Path:
        """The register of consent: an SQLite file that people and the service write at any time."""
        return self.root / "register.sqlite"

    @property
    def notices(self) -> Path:
        """The states that people were told of: an SQLite file."""
        return self.root / "notices.sqlite"

    @property
    def id_key(self) -> Path:
        """The secret with which text ids are hashed."""
        return self.root / "id_key"

    @property
    def remembered(self) -> frozenset[str]:
        """Names of single files of the home that runs remember something in."""
        return frozenset({"first_night", self.id_key.name})

    @property
    def upgrades(self) -> Path:
        """The folder of copies of the warehouse, each made before an upgrade."""
        return self.root / "upgrades"

    @property
    def bundles(self) -> Path:
        """The folder of model bundles: one subfolder per version."""
        return self.root / "bundles"

    @property
    def published(self) -> Path:
        """The folder of snapshots and of the pointer to the current one."""
        return self.root / "published"

    @property
    def exports(self) -> Path:
        """The folder of exported treat lists."""
        return self.root / "exports"

    @property
    def scratch(self) -> Path:
        """The folder of temporary files: of exports, and of DuckDB when memory is not enough."""
        return self.root / "tmp"

    @property
    def partitions(self) -> Path:
        """The folder of a cluster's Parquet files; views of the warehouse and of snapshots read them."""
        return self.root / "partitions"

    @property
    def cards(self) -> Path:
        """The folder of model cards with their plots: one subfolder per version."""
        return self.root / "cards"

    @property
    def proofs(self) -> Path:
        """The folder of the evaluator's proofs, and of each experiment's comparison with econml."""
        return self.root / "proofs"

    @property
    def sources(self) -> Path:
        """The folder that caches source files."""
        return self.root / "sources"

    @property
    def generated_sql(self) -> Path:
        """The folder of generated SQL, for people to read."""
        return self.root / "sql"
