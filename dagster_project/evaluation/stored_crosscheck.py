"""Store the comparison with econml below the home: it is repeated for other users, code or libraries.

Equal inputs give equal figures, and econml takes seconds to import.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.crosscheck import Sample, crosscheck
from dagster_project.evaluation.stored_proof import code_digest
from uplift_core.artifacts.files import replace_file

SOURCES = ("crosscheck.py", "econml_peers.py")
LIBRARIES = ("econml", "scikit-learn")


def stored_or_new_crosscheck(
    folder: Path, experiment: BatchExperiment, arm: str, sample: Sample, threads: int
) -> tuple[list[dict[str, Any]], bool]:
    """Return the rows of ``evaluation.crosscheck`` for one contrast, and whether they were stored.

    One file per experiment is stored in ``folder``. A file that cannot be read is treated as missing.
    """
    file, digest = folder / f"crosscheck-{experiment.name}.json", _digest(experiment, arm, sample)
    with suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(file.read_bytes())
        if stored["digest"] == digest and stored["rows"]:
            return list(stored["rows"]), True
    compared = crosscheck(experiment, arm, sample, threads=threads)
    replace_file(file, json.dumps({"digest": digest, "rows": compared}, indent=1).encode())
    return compared, False


def _digest(experiment: BatchExperiment, arm: str, sample: Sample) -> str:
    """Return a digest of all that the figures depend on."""
    versions = {library: version(library) for library in LIBRARIES}
    parts = (code_digest(), versions, experiment.declaration.model_dump_json(), arm, sample.features)
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for source in SOURCES:
        digest.update(Path(__file__).with_name(source).read_bytes())
    users = sample.users
    for array in (users.x, users.w, users.y, users.fold, sample.train):
        digest.update(f"\0{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
