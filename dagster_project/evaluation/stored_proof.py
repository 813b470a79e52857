"""Store the evaluator's proof below the home, one for each version of code and libraries."""

from __future__ import annotations

import hashlib
import json
import platform
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import scipy

import uplift_core
from uplift_core.artifacts.bundle import library_versions
from uplift_core.artifacts.files import replace_file
from uplift_core.boosting.side_by_side import cores
from uplift_core.boosting.without_scikit_learn import begin_worker
from uplift_core.evaluation.coverage import Proof, proof_parts


def stored_or_new_proof(folder: Path, replications: int, users: int) -> tuple[tuple[Proof, ...], bool]:
    """Return the proof of this code, and whether it was stored; store a new one if it holds.

    A proof is simulated with fixed seeds, so the same code and libraries give the same figures.
    A file that cannot be read, or that names no claim, is treated as missing.
    """
    file = folder / f"{code_digest()}-{replications}x{users}.json"
    with suppress(OSError, ValueError, TypeError):  # no file, no JSON, or not a proof's fields
        if proofs := tuple(Proof(**row) for row in json.loads(file.read_bytes())):
            return proofs, True
    proofs = _prove(replications, users)
    if all(proof.holds for proof in proofs):
        replace_file(file, json.dumps([asdict(proof) for proof in proofs], indent=1).encode())
    return proofs, False


def _prove(replications: int, users: int) -> tuple[Proof, ...]:
    parts = proof_parts(replications, users)
    # Processes, because the fits are so small that threads would mostly wait for Python's lock.
    with get_context("spawn").Pool(min(cores(), len(parts)), begin_worker) as pool:
        results = [pool.apply_async(part) for part in parts]
        return tuple(proof for result in results for proof in result.get())


@cache
def code_digest() -> str:
    """Return a digest of all that the figures depend on: the core's source, Python and libraries."""
    versions = library_versions() | {"scipy": scipy.__version__, "python": platform.python_version()}
    digest = hashlib.sha256(json.dumps(versions, sort_keys=True).encode())
    source = Path(uplift_core.__file__).parent
    for path in sorted(source.rglob("*.py")):
        digest.update(f"\0{path.relative_to(source)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
