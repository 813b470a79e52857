"""List the licences of all packages of the image: ``make licences`` writes ``docs/licences.md``.

A package's licence is what its installed metadata say: the SPDX expression, else the classifiers, else
the first line of the field ``License``.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata

from dagster_project.reporting.markdown import markdown_table
from dagster_project.settings import REPOSITORY
from uplift_core.artifacts.files import replace_file

FILE = REPOSITORY / "docs" / "licences.md"
PINNED = REPOSITORY / "requirements" / "image.txt"
LONGEST = 60  # characters of a licence's name; some packages put its whole text there
INTRODUCTION = """# Licences of what the image holds

The engine itself is Apache-2.0. These are the packages of `requirements/image.txt` that are installed on
Linux under Python 3.11, with the licence that each names in its metadata. `make licences` writes this
page; `make sbom` writes the bill of materials (CycloneDX).
"""


def pinned() -> dict[str, str]:
    """Return the packages of the image that are installed: name -> version, as pinned."""
    lines = re.findall(r"^([\w.-]+)==([\w.+!-]+)", PINNED.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: version for name, version in lines if _version(name) == version}


def licence_of(of: PackageMetadata) -> str:
    """Return the licence that a package's metadata name; ``not named`` if none."""
    if "License-Expression" in of:
        return str(of["License-Expression"])
    prefix = "License :: "
    classified = [c for c in of.get_all("Classifier") or () if c.startswith(prefix)]
    names = [name for c in classified if (name := c.rpartition(" :: ")[2]) != "OSI Approved"]
    field = str(of["License"]) if "License" in of else ""
    text = next((line.strip() for line in field.splitlines() if line.strip()), "")
    return ", ".join(names) or (text if len(text) <= LONGEST else "") or "not named"


def page() -> str:
    """Return the page."""
    rows = [(name, version, licence_of(metadata(name))) for name, version in sorted(pinned().items())]
    return f"{INTRODUCTION}\n{markdown_table(['package', 'version', 'licence'], rows)}\n"


def _version(name: str) -> str:
    try:
        return str(metadata(name)["Version"])
    except PackageNotFoundError:
        return ""


def main() -> int:
    """Write the page; return the exit code."""
    replace_file(FILE, page().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
