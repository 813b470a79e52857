"""Names for declarations and features, made of the names and values of a file."""

from __future__ import annotations

import re
import unicodedata

ONE_HOT = 12  # categories of this many values or fewer get a feature for each

# Latin letters that become another letter without their mark, or that have no separable mark.
_PAIRS = "äae öoe üue ßss æae œoe øo đd ðd þth ħh ıi łl ŋn ŧt"  # noqa: RUF001 - intended
LETTERS = {ord(pair[0]): pair[1:] for pair in _PAIRS.split()}


def split_name(name: str) -> list[str]:
    """Split a name into words of lower-case ASCII letters and digits.

    ``pastSpend`` and ``past_spend`` are past and spend, ``Größe (cm)`` is groesse and cm.
    """
    text = unicodedata.normalize("NFC", name)  # some files store letter and mark as two characters
    words = "".join(
        f"_{c}" if c.isupper() and (before.islower() or before.isdigit()) else c
        for before, c in zip(f" {text}", text, strict=False)
    )
    decomposed = unicodedata.normalize("NFKD", words.lower().translate(LETTERS)).lower()
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    return [word for word in re.split(r"[^a-z0-9]+", bare) if word]


def slug(text: str, fallback: str = "x") -> str:
    """Turn a text into a name for declarations: lower-case letters, digits and underscores."""
    name = "_".join(split_name(text))
    return (name if name[:1].isalpha() else f"{fallback}_{name}".strip("_"))[:40].strip("_")
