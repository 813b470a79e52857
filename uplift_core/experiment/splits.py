"""Splits and folds of users in memory, by the hash of ``sql/training/assignment.sql``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


def md5_number_lower(text: str) -> int:
    """Return what DuckDB's function of this name does: the last 64 bits of a text's md5."""
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[8:], "little")


def hashes(salt: str, units: Iterable[object]) -> Hashes:
    """Hash each unit, a user's id or a cluster, with the experiment's salt: (n,) uint64."""
    return np.fromiter((md5_number_lower(f"{salt}/{unit}") for unit in units), dtype=np.uint64)


def list_hashes(salt: str, user_ids: Iterable[object]) -> Hashes:
    """Return the number by which users of equal score are ordered, see ``sql/rules/list_hash.sql``."""
    return hashes(f"{salt}/list", user_ids)


def held_out(of_units: Hashes, share: float) -> npt.NDArray[np.bool_]:
    """Flag the users whom the split holds out: (n,)."""
    return np.asarray(of_units.astype(np.float64) / 2.0**64 < share)


def folds_of(of_units: Hashes, folds: int) -> npt.NDArray[np.int8]:
    """Return each user's cross-fitting fold, from 0: (n,)."""
    return (of_units % np.uint64(folds)).astype(np.int8)
