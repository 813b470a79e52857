"""The JSON schema of ``experiment.toml``: ``make schema`` writes ``docs/experiment.schema.json``."""

from __future__ import annotations

import json
import sys

from dagster_project.settings import REPOSITORY
from uplift_core.experiment.declaration import Experiment

SCHEMA = REPOSITORY / "docs" / "experiment.schema.json"


def schema_text() -> str:
    """Return the schema as text."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Experiment.model_json_schema(),
    }
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the schema; return the exit code."""
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
