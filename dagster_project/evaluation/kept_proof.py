"""The evaluator's proof is made once per version of code and libraries, and kept below the home."""

from __future__ import annotations

import hashlib
import json
import platform
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

import scipy

import uplift_core
from uplift_core.artifacts.bundle import library_versions
from uplift_core.artifacts.files import replace_file
from uplift_core.evaluation.coverage import Proof, prove


def kept_or_new_proof(folder: Path, replications: int, users: int) -> tuple[tuple[Proof, ...], bool]:
    """Return the proof of this code, and whether an earlier run made it; keep a new one that holds.

    A proof is simulated with fixed seeds, so the same code and libraries give the same figures.
    A file that cannot be read, or names no claim, counts as none.
    """
    file = folder / f"{_code_digest()}-{replications}x{users}.json"
    with suppress(OSError, ValueError, TypeError):  # no file, no JSON, or not a proof's fields
        if proofs := tuple(Proof(**row) for row in json.loads(file.read_bytes())):
            return proofs, True
    # Its fits are so small that Python's lock would let one thread wait for the other.
    proofs = tuple(prove(replications, users, threads=1))
    if all(proof.holds for proof in proofs):
        replace_file(file, json.dumps([asdict(proof) for proof in proofs], indent=1).encode())
    return proofs, False


@cache
def _code_digest() -> str:
    """Return a digest of all that decides the figures: the core's source, Python and libraries."""
    versions = library_versions() | {"scipy": scipy.__version__, "python": platform.python_version()}
    digest = hashlib.sha256(json.dumps(versions, sort_keys=True).encode())
    source = Path(uplift_core.__file__).parent
    for path in sorted(source.rglob("*.py")):
        digest.update(f"\0{path.relative_to(source)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
